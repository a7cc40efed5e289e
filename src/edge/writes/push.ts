/** Pushing manifests, and deleting (distribution-spec, end-7, end-9 and end-10). */
import { parseDigest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import { isTag, type Tag } from '../../oci/name.ts'
import { parseReference, type Reference } from '../../oci/reference.ts'
import type { Local, Target } from '../../pull/target.ts'
import type { MountSource } from '../../push/mounts.ts'
import type { Push } from '../../push/push.ts'
import type { RepositoryKey } from '../../store/layout.ts'
import { type Answer, type Headers, noContent } from '../answer.ts'
import type { Exchange } from '../exchange.ts'
import { type Pace, readManifest, requestBody } from './body.ts'

/** What a handler of a push is given. */
export interface PushCall {
  readonly exchange: Exchange
  readonly local: Local
  /** In an overlay, the repository that it lies over. */
  readonly beneath: Target | undefined
  readonly push: Push
  /** The path of the repository as the client addressed it, for `Location`. */
  readonly address: string
  /** What a name stands for; undefined where it leads nowhere, or may not be pulled from by who asks. @throws as `mayRead` */
  readonly source: (name: string) => Promise<MountSource | undefined>
  /** Whether who asks may pull from the repository. @throws RegistryError UNAUTHORIZED (401) for a token that is not for it */
  readonly mayRead: (key: RepositoryKey) => Promise<boolean>
  readonly pace: Pace
  /** Bytes of the largest manifest. */
  readonly manifestBytes: number
}

/** More tags than this in one request are refused. */
export const mostTags = 100

export async function answerManifestPut(call: PushCall, text: string): Promise<Answer> {
  const { exchange, local, push, address } = call
  const { facts, request, query } = exchange
  facts.reference = text
  const reference = pushReference(text)
  const tags = tagsIn(query, reference)
  if (tags.length > 0) facts.tags = tags
  const contentType = request.headers['content-type']
  const { beneath } = call
  const gathered = await readManifest(requestBody(exchange, call.pace), call.manifestBytes, push.room)
  const sent = { reference, tags, contentType, body: gathered.content, beneath }
  const { digest, subject } = await push.manifests.put(local, sent).finally(() => gathered.release())
  facts.digest = digest
  const headers: Headers = {
    location: `${address}/manifests/${digest}`,
    'docker-content-digest': digest,
    ...(subject === undefined ? {} : { 'oci-subject': subject }),
    ...(tags.length === 0 ? {} : { 'oci-tag': tags.join(', ') }),
  }
  return { status: 201, headers, content: noContent }
}

export async function answerManifestDelete(
  { exchange, local, push }: PushCall,
  text: string,
): Promise<Answer> {
  exchange.facts.reference = text
  const reference = parseReference(text)
  assertDeletable(local, 'GET, HEAD, PUT')
  await push.manifests.delete(local, reference)
  return { status: 202, headers: {}, content: noContent }
}

export async function answerBlobDelete({ exchange, local, push }: PushCall, text: string): Promise<Answer> {
  const digest = parseDigest(text)
  exchange.facts.digest = digest
  assertDeletable(local, 'GET, HEAD')
  await push.blobs.delete(local, digest)
  return { status: 202, headers: {}, content: noContent }
}

function assertDeletable({ namespace }: Local, allow: string): void {
  if (namespace.delete) return
  throw new RegistryError(
    'UNSUPPORTED',
    `nothing is deleted from the namespace ${namespace.name} (local[].delete)`,
    {
      headers: { allow },
    },
  )
}

/** On a push, what is neither a tag nor a digest is a mistake and not merely unknown. */
function pushReference(text: string): Reference {
  if (text.includes(':') || isTag(text)) return parseReference(text)
  throw new RegistryError('MANIFEST_INVALID', 'the reference is neither a tag nor a digest')
}

/** @throws RegistryError MANIFEST_INVALID (400, or 414 for too many) */
function tagsIn(query: URLSearchParams, reference: Reference): readonly Tag[] {
  const tags = [...new Set(query.getAll('tag'))]
  if (tags.length === 0) return []
  if (reference.kind === 'tag')
    throw new RegistryError('MANIFEST_INVALID', '?tag= goes with a digest in the path, not with a tag')
  if (tags.length > mostTags)
    throw new RegistryError('MANIFEST_INVALID', `more than ${mostTags} tags in one request`, { status: 414 })
  const valid = tags.filter(isTag)
  if (valid.length < tags.length) throw new RegistryError('MANIFEST_INVALID', 'one of the tags is no tag')
  return valid
}
