/** Tag lists and referrers (distribution-spec, end-8 and end-12). */
import { parseDigest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import type { Descriptor } from '../oci/manifest.ts'
import { mediaTypes } from '../oci/media-type.ts'
import { type Answer, json } from './answer.ts'
import type { Call } from './call.ts'

/** A larger `n` is cut down to it, and means the same: no repository has as many. */
const mostTags = 1_000_000_000

export async function answerTags({ exchange, resolved, pull, address }: Call): Promise<Answer> {
  if (resolved.kind === 'local')
    throw new RegistryError('NAME_UNKNOWN', `${resolved.repository} does not exist`)
  const { facts } = exchange
  const n = exchange.query.get('n')
  const last = exchange.query.get('last')
  if (n !== null && !/^\d+$/.test(n))
    throw new RegistryError('UNSUPPORTED', 'n must be a whole number', { status: 400 })
  const limit = n === null ? undefined : Math.min(Number(n), mostTags)
  const page = { ...(limit === undefined ? {} : { n: String(limit) }), ...(last === null ? {} : { last }) }
  const { tags, next, provenance } = await pull.listings.tags(resolved.target, page)
  facts.provenance = provenance
  const name = resolved.target.repository
  if (limit === 0) return json({ name, tags: [] }) // some upstreams do not care for `n`
  const answer = json({ name, tags })
  if (!next) return answer
  const namespace = facts.namespace === undefined ? {} : { ns: facts.namespace }
  const query = new URLSearchParams({ ...next, ...namespace })
  const link = `<${address}/tags/list?${query.toString()}>; rel="next"`
  return { ...answer, headers: { ...answer.headers, link } }
}

export async function answerReferrers({ exchange, resolved, pull }: Call, text: string): Promise<Answer> {
  const subject = parseDigest(text)
  exchange.facts.digest = subject
  if (resolved.kind === 'local') return referrersAnswer([], wantedTypes(exchange.query))
  const { referrers, provenance } = await pull.listings.referrers(resolved.target, subject)
  exchange.facts.provenance = provenance
  return referrersAnswer(referrers, wantedTypes(exchange.query))
}

/** containerd asks for several types at once; an unencoded `+` arrives as a space. */
function wantedTypes(query: URLSearchParams): readonly string[] {
  return query
    .getAll('artifactType')
    .filter(Boolean)
    .map(type => type.replaceAll(' ', '+'))
}

function referrersAnswer(referrers: readonly Descriptor[], types: readonly string[]): Answer {
  const manifests =
    types.length === 0
      ? referrers
      : referrers.filter(({ artifactType }) => types.includes(artifactType ?? ''))
  const answer = json(
    { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests },
    { type: mediaTypes.ociIndex },
  )
  return types.length === 0
    ? answer
    : { ...answer, headers: { ...answer.headers, 'oci-filters-applied': 'artifactType' } }
}
