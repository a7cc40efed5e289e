/** Tags of a repository, one page of the upstream's at a time. */
import type { RepositoryName } from '../../oci/name.ts'
import type { Endpoint } from '../endpoint.ts'
import { failureOf } from '../transport/failure.ts'
import { refusalFor } from '../unexpected.ts'
import type { TagPage } from '../upstream.ts'
import { readBody } from './body.ts'
import { nextPage } from './link.ts'

/** Some registries ignore `n` and send every tag there is. */
const maxPageBytes = 16 * 1024 * 1024

export async function listTags(
  endpoint: Endpoint,
  ask: { repository: RepositoryName; query: { n?: string; last?: string }; signal: AbortSignal | undefined },
): Promise<TagPage> {
  const { repository, signal } = ask
  const query = new URLSearchParams({ ...ask.query })
  const headers = { accept: 'application/json' }
  const reply = await endpoint.ask({
    method: 'GET',
    repository,
    path: 'tags/list',
    query,
    headers,
    kind: 'tags',
    signal,
  })
  if (reply.status !== 200) throw refusalFor(reply)
  const { subject } = reply
  const tags = parseTags(await readBody(reply, subject, { maxBytes: maxPageBytes, signal }))
  if (!tags)
    throw failureOf(subject, 'corrupt', `${subject.upstream} answered ${subject.text} with no list of tags`)
  return { tags, next: nextQuery(nextPage(reply.headers.link, reply.url), tags) }
}

/** `null` is how some registries spell "none". */
function parseTags(body: Buffer): string[] | undefined {
  try {
    const { tags } = Object(JSON.parse(body.toString('utf8'))) as { tags?: unknown }
    if (tags === null) return []
    return Array.isArray(tags) ? tags.filter(tag => typeof tag === 'string') : undefined
  } catch {
    return undefined
  }
}

/** A link that turns pages by a mark of its own is followed by the last tag, as the specification means it. */
function nextQuery(next: URL | undefined, tags: readonly string[]): TagPage['next'] {
  if (!next) return undefined
  const n = next.searchParams.get('n')
  const last = next.searchParams.get('last') ?? tags.at(-1)
  if (last === undefined) return undefined
  return { ...(n === null ? {} : { n }), last }
}
