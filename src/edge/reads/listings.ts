/** Tag lists (distribution-spec, end-8). */
import { RegistryError } from '../../oci/errors.ts'
import { mergePages, pageOf, unlessAbsent } from '../../pull/overlay.ts'
import { hit } from '../../pull/provenance.ts'
import type { Local, Target } from '../../pull/target.ts'
import type { TagPage } from '../../upstream/upstream.ts'
import { type Answer, json } from '../answer.ts'
import type { Call } from './call.ts'
import { cut, linkTo, pageAfter, pageAsked } from './paging.ts'

/** A larger `n` is cut down to it, and means the same: no repository has as many. */
const mostTags = 1_000_000_000

export function answerTags(call: Call): Promise<Answer> {
  const { local, upstream } = call.resolved
  return local ? heldTags(call, local, upstream) : upstreamTags(call, upstream)
}

/** Cut into pages as upstream cuts them. */
async function upstreamTags(call: Call, target: Target): Promise<Answer> {
  const { exchange, pull } = call
  const asked = pageAsked(exchange.query, mostTags)
  const last = exchange.query.get('last')
  const page = { ...(asked.isLimited ? { n: String(asked.limit) } : {}), ...(last === null ? {} : { last }) }
  const { tags, next, provenance } = await pull.listings.tags(target, page)
  exchange.facts.provenance = provenance
  const name = target.repository
  if (asked.limit === 0) return json({ name, tags: [] }) // some upstreams do not care for `n`
  return withNext(call, json({ name, tags }), next)
}

/** What is here, in an overlay together with everything that upstream has. */
async function heldTags(call: Call, local: Local, upstream: Target | undefined): Promise<Answer> {
  const { exchange, pull, pageLimit } = call
  const asked = pageAsked(exchange.query, pageLimit)
  const page = { last: asked.last, limit: asked.limit + 1 }
  const held = await pull.local.tags(local, page)
  const below = upstream && (await unlessAbsent(pull.listings.allTags(upstream)))
  if (!held && !below) throw new RegistryError('NAME_UNKNOWN', `${local.repository} holds nothing`)
  exchange.facts.provenance = below?.provenance ?? hit
  const pages = [held ?? [], pageOf(below?.tags ?? [], nameOf, page)]
  const { shown, next } = cut(mergePages(pages, nameOf, page.limit), asked.limit)
  const answer = json({ name: local.repository, tags: shown })
  return withNext(call, answer, next && pageAfter(next, asked))
}

function nameOf(tag: string): string {
  return tag
}

function withNext({ exchange, address }: Call, answer: Answer, next: TagPage['next']): Answer {
  if (!next) return answer
  const { namespace } = exchange.facts
  const query = new URLSearchParams({ ...next, ...(namespace === undefined ? {} : { ns: namespace }) })
  return { ...answer, headers: { ...answer.headers, ...linkTo(`${address}/tags/list`, query) } }
}
