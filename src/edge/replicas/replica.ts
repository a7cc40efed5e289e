/** What other replicas ask of this one, beside what they pass on for their clients: bytes, and answers of upstreams. */
import { failureHeader, tell } from '../../cluster/failures.ts'
import { peerHeaders, replicaPath } from '../../cluster/peers/peers.ts'
import { type Signatures, signatureHeader } from '../../cluster/peers/signature.ts'
import { parseDigest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import { parseRepositoryName } from '../../oci/name.ts'
import { parseReference } from '../../oci/reference.ts'
import type { Lent, LentBlob } from '../../pull/lent.ts'
import { scopeOf, type Target } from '../../pull/target.ts'
import type { Resolver } from '../../resolve/resolve.ts'
import { UpstreamError } from '../../upstream/upstream-error.ts'
import { type Answer, type Headers, json, noContent } from '../answer.ts'
import { type Exchange, isHead, isReading } from '../exchange.ts'

export interface ReplicaDeps {
  readonly signatures: Pick<Signatures, 'isGenuine'>
  readonly lent: Pick<Lent, 'size' | 'blob' | 'whole' | 'manifest' | 'manifestHead'>
  readonly resolver: Pick<Resolver, 'upstreams'>
}

/** Undefined when the path is no replica's. Whoever is none gets 403, whatever the path. */
export function answerReplica(exchange: Exchange, deps: ReplicaDeps): Promise<Answer> | undefined {
  if (!exchange.path.startsWith(replicaPath)) return undefined
  return answerGenuine(exchange, deps)
}

async function answerGenuine(exchange: Exchange, deps: ReplicaDeps): Promise<Answer> {
  const { request, path } = exchange
  const { method = '', url = '', headers } = request
  const isGenuine = deps.signatures.isGenuine(headers[signatureHeader], { method, path: url, speaksFor: '' })
  if (!isGenuine || !isReading(exchange))
    throw new RegistryError('DENIED', 'this is for replicas of the same registry')
  try {
    const [what, digest] = path.slice(replicaPath.length).split('/')
    if (what === 'blobs' && digest !== undefined) return await answerBlob(exchange, digest, deps)
    if (what === 'manifests' && digest === undefined) return await answerManifest(exchange, deps)
    throw absent()
  } catch (error) {
    if (!(error instanceof UpstreamError)) throw error
    const answer = json(tell(error), { status: error.status })
    return { ...answer, headers: { ...answer.headers, [failureHeader]: '1' } }
  }
}

async function answerBlob(exchange: Exchange, text: string, { lent }: ReplicaDeps): Promise<Answer> {
  const digest = parseDigest(text)
  if (isHead(exchange)) return answerHead(await lent.size(digest))
  const scope = exchange.query.get('scope') ?? ''
  const found = await (exchange.query.has('whole') ? lent.whole(digest) : lent.blob(digest, scope))
  if (!found) throw absent()
  const first = found.size === undefined ? 0 : Math.min(positionIn(exchange), found.size)
  return lentAnswer(found, first)
}

function answerHead(size: number | undefined): Answer {
  if (size === undefined) throw absent()
  return { status: 200, headers: { [peerHeaders.size]: String(size) }, content: noContent }
}

function lentAnswer({ size, bytes, isAnonymous, isEntitled }: LentBlob, first: number): Answer {
  const headers: Headers = {
    'content-type': 'application/octet-stream',
    [peerHeaders.first]: String(first),
    ...(size === undefined ? {} : { [peerHeaders.size]: String(size) }),
    ...(isAnonymous ? { [peerHeaders.anonymous]: '1' } : {}),
    ...(isEntitled ? { [peerHeaders.entitled]: '1' } : {}),
  }
  if (size !== undefined && first >= size) {
    bytes.close()
    return { status: 200, headers, content: noContent }
  }
  const range = size === undefined ? undefined : { first, last: size - 1 }
  return { status: 200, headers, content: { kind: 'bytes', bytes, range } }
}

async function answerManifest({ query }: Exchange, { lent, resolver }: ReplicaDeps): Promise<Answer> {
  const target = targetOf(query, resolver)
  if (!target) throw absent()
  const reference = parseReference(query.get('reference') ?? '')
  if (query.get('ask') === 'head') {
    const { digest, mediaType, size } = await lent.manifestHead(target, reference)
    return json({ digest, mediaType, size })
  }
  const { digest, mediaType, body, anonymous } = await lent.manifest(target, reference)
  const headers = {
    'content-type': mediaType,
    'docker-content-digest': digest,
    ...(anonymous ? { [peerHeaders.anonymous]: '1' } : {}),
  }
  return { status: 200, headers, content: { kind: 'buffer', buffer: body } }
}

/** Undefined where it is another question here: the registry is not configured, or with another credential. */
function targetOf(query: URLSearchParams, { upstreams }: ReplicaDeps['resolver']): Target | undefined {
  const known = upstreams.find(({ upstream }) => upstream.registry === query.get('registry'))
  if (!known) return undefined
  const repository = parseRepositoryName(query.get('repository') ?? '')
  const target = { upstream: known.upstream, policy: known.policy, repository }
  if (scopeOf(target) !== query.get('scope')) return undefined
  known.upstream.assertAllowed(repository)
  return target
}

function positionIn({ query }: Exchange): number {
  const from = Number(query.get('from') ?? 0)
  return Number.isSafeInteger(from) && from > 0 ? from : 0
}

function absent(): RegistryError {
  return new RegistryError('BLOB_UNKNOWN', 'it is neither here nor on its way')
}
