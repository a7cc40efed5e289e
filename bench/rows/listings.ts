/** Whether answers stay quick when there is a great deal: pages of listings, and a manifest by tag. */
import { type Figure, median, spread } from '../figure.ts'
import { crowded, makeCrowded, repositoryAt, subjectDigest, tagAt } from '../holdings.ts'
import type { Layover } from '../layover.ts'
import { pin } from '../server.ts'
import type { Site } from '../site.ts'

const asks = 40
const warmUps = 5
const pageSize = 1000
const rounds = 9
const manifestsARound = 8000
const connections = 8

export async function listings(site: Site): Promise<Figure[]> {
  const home = await makeCrowded(site)
  pin(site.client.pid, '1')
  await using layover = await site.startLayover({ home, cores: '0' })
  const middle = tagAt(crowded.tags / 2)
  const pages: readonly Page[] = [
    {
      what: `tags/list?n=${pageSize} from the middle of 10⁶`,
      path: `/v2/${crowded.manyTags}/tags/list?n=${pageSize}&last=${middle}`,
      entries: body => (body as { tags: unknown[] }).tags,
      goalMs: 20,
    },
    {
      what: 'referrers, first page among 10⁴',
      path: `/v2/${crowded.referred}/referrers/${subjectDigest}?n=${pageSize}`,
      entries: body => (body as { manifests: unknown[] }).manifests,
      goalMs: 10,
    },
    {
      what: `_catalog?n=${pageSize} from the middle of 10⁵ repositories`,
      path: `/v2/_catalog?n=${pageSize}&last=${repositoryAt(crowded.repositories / 2)}`,
      entries: body => (body as { repositories: unknown[] }).repositories,
      goalMs: 20,
    },
  ]
  const figures: Figure[] = []
  for (const page of pages) figures.push(await pageFigure(site, layover, page))
  figures.push(await tagFigure(site, layover))
  return figures
}

async function pageFigure(
  site: Site,
  layover: Layover,
  { what, path, entries, goalMs }: Page,
): Promise<Figure> {
  const tookMs: number[] = []
  let size = 0
  for (let asked = 0; asked < warmUps + asks; asked += 1) {
    const answer = await site.client.call('ask', { url: layover.url + path })
    const text = Buffer.from(answer.body).toString()
    if (answer.status !== 200)
      throw new Error(`${path} was answered with ${answer.status}: ${text.slice(0, 200)}`)
    size = entries(JSON.parse(text)).length
    if (asked >= warmUps) tookMs.push(answer.endedMs - answer.startedMs)
  }
  return {
    figure: what,
    goal: `≤ ${goalMs} ms`,
    measured: `${spread(tookMs, 1, ' ms')}; ${size} entries`,
    reached: median(tookMs) <= goalMs && size > 0,
  }
}

/** Each tag of many is asked for once; the few take turns. */
async function tagFigure(site: Site, layover: Layover): Promise<Figure> {
  const times: { many: number; few: number; busy: number }[] = []
  for (let round = 0; round <= site.rounds(rounds); round += 1) {
    const numbers = Array.from({ length: manifestsARound }, (_, at) => round * manifestsARound + at)
    const many = await byTag(site, layover, {
      repository: crowded.manyTags,
      tags: numbers.map(at => tagAt((at * 7919) % crowded.tags)),
    })
    const few = await byTag(site, layover, {
      repository: crowded.fewTags,
      tags: numbers.map(at => tagAt(at % crowded.few)),
    })
    if (round > 0) times.push({ many: many.micros, few: few.micros, busy: Math.max(many.busy, few.busy) })
  }
  const ratios = times.map(({ many, few }) => many / few)
  const of = (key: 'many' | 'few' | 'busy', digits: number, unit: string) =>
    spread(
      times.map(time => time[key]),
      digits,
      unit,
    )
  return {
    figure: 'manifest by tag among 10⁶ / among 10, time',
    goal: '≤ 1.2',
    measured: `${spread(ratios, 2)}; ${of('many', 0, ' µs')} against ${of('few', 0, ' µs')}; client busy ${of('busy', 2, '')}`,
    reached: median(ratios) <= 1.2,
  }
}

let lastAsk = 0

/** No target is asked for twice: what is kept in memory would hide the way to it, of the few first. */
function nextAsk(): number {
  lastAsk += 1
  return lastAsk
}

async function byTag(
  site: Site,
  layover: Layover,
  { repository, tags }: { repository: string; tags: string[] },
) {
  const paths = tags.map(tag => `/v2/${repository}/manifests/${tag}?ask=${nextAsk()}`)
  const { seconds, right, busy } = await site.client.call('askMany', { url: layover.url, paths, connections })
  if (right !== paths.length)
    throw new Error(`${paths.length - right} of ${paths.length} tags were not found`)
  return { micros: (seconds / paths.length) * 1e6, busy }
}

interface Page {
  what: string
  path: string
  entries: (body: unknown) => readonly unknown[]
  goalMs: number
}
