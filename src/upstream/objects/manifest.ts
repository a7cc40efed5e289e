/** Manifests from an endpoint, checked before anybody sees them. */
import { algorithmOf, type Digest, digestOf, isDigest } from '../../oci/digest.ts'
import { isSchema1, viewManifest } from '../../oci/manifest.ts'
import { acceptManifests, isMediaType } from '../../oci/media-type.ts'
import type { RepositoryName } from '../../oci/name.ts'
import { type Reference, referenceText } from '../../oci/reference.ts'
import type { Endpoint, Reply } from '../endpoint.ts'
import { failureOf } from '../transport/failure.ts'
import { discard, headerOf } from '../transport/transport.ts'
import { refusalFor } from '../unexpected.ts'
import type { FetchedManifest, ManifestHead } from '../upstream.ts'
import { UpstreamError } from '../upstream-error.ts'
import { readBody } from './body.ts'

interface ManifestAsk {
  repository: RepositoryName
  reference: Reference
  signal: AbortSignal | undefined
}

/** Said of manifests by servers that do not know what they serve. */
const vagueTypes = new Set([
  '',
  'text/plain',
  'application/json',
  'application/octet-stream',
  'binary/octet-stream',
])

export async function headManifest(endpoint: Endpoint, ask: ManifestAsk): Promise<ManifestHead> {
  const reply = await askHead(endpoint, ask)
  const mediaType = typeOf(reply)
  const digest = headerOf(reply, 'docker-content-digest') ?? ''
  const length = headerOf(reply, 'content-length')
  discard(reply)
  if (mediaType === 'text/html' || (mediaType !== '' && !isMediaType(mediaType))) throw notRegistry(reply)
  return {
    digest: isDigest(digest) ? digest : undefined,
    mediaType: mediaType === '' ? 'application/octet-stream' : mediaType,
    size: length === undefined ? undefined : Number(length),
  }
}

/** A registry without HEAD is asked with GET, whose body is left alone. */
async function askHead(endpoint: Endpoint, ask: ManifestAsk): Promise<Reply> {
  try {
    return await askManifest(endpoint, 'HEAD', ask)
  } catch (error) {
    if (!(error instanceof UpstreamError) || error.upstreamStatus !== 405) throw error
    return askManifest(endpoint, 'GET', ask)
  }
}

export async function getManifest(
  endpoint: Endpoint,
  ask: ManifestAsk & { maxBytes: number },
): Promise<FetchedManifest> {
  const { reference, maxBytes, signal } = ask
  const reply = await askManifest(endpoint, 'GET', ask)
  const body = await readBody(reply, reply.subject, { maxBytes, signal })
  const digest = checkedDigest(reply, reference, body)
  return { body, digest, mediaType: checkedType(reply, body), anonymous: reply.anonymous }
}

async function askManifest(endpoint: Endpoint, method: 'GET' | 'HEAD', ask: ManifestAsk): Promise<Reply> {
  const { repository, reference, signal } = ask
  const reply = await endpoint.ask({
    method,
    repository,
    path: `manifests/${referenceText(reference)}`,
    headers: { accept: acceptManifests },
    kind: 'manifest',
    signal,
  })
  if (reply.status !== 200) throw refusalFor(reply)
  return reply
}

/** By digest the bytes must match it; by tag what upstream says of them, if it says anything we can hash. */
function checkedDigest(reply: Reply, reference: Reference, body: Buffer): Digest {
  const told = headerOf(reply, 'docker-content-digest') ?? ''
  const claimed = reference.kind === 'digest' ? reference.digest : told
  if (!isDigest(claimed)) return digestOf(body)
  const digest = digestOf(body, algorithmOf(claimed))
  if (digest === claimed) return digest
  const { subject } = reply
  const message = `${subject.upstream} answered ${subject.text} with bytes of ${digest} instead of ${claimed}`
  throw failureOf(subject, 'corrupt', message)
}

function checkedType(reply: Reply, body: Buffer): string {
  const told = typeOf(reply)
  const view = viewManifest(body)
  const { subject } = reply
  if (isSchema1(body)) {
    const message = `${subject.upstream} has ${subject.text} as Docker schema 1 only, which is not supported`
    throw failureOf(subject, 'corrupt', message)
  }
  const mediaType = vagueTypes.has(told) ? (view?.mediaType ?? told) : told
  if (!view || mediaType === 'text/html' || !isMediaType(mediaType)) throw notRegistry(reply)
  return mediaType
}

function typeOf(reply: Reply): string {
  const [type = ''] = (headerOf(reply, 'content-type') ?? '').split(';')
  return type.trim().toLowerCase()
}

function notRegistry({ subject, url }: Reply): UpstreamError {
  const message = `${subject.upstream} (${url.host}) answered ${subject.text} with something that is no manifest`
  return failureOf(subject, 'corrupt', message)
}
