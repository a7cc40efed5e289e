/** Upstream is there no more, in every way it can be: what becomes of a tag that is cached, and of one that is not. */
import type { Answer } from '../client.ts'
import type { Figure } from '../figure.ts'
import type { Mode } from '../origin.ts'
import type { Site } from '../site.ts'

/** `empty`: the status for a name of which nothing is cached. Times are milliseconds. */
const outages: readonly Outage[] = [
  { mode: 'down', empty: 503, firstMs: 1000, laterMs: 1000 },
  { mode: 'hang', empty: 504, firstMs: 3500, laterMs: 100 },
  { mode: 401, empty: 404, firstMs: 1000, laterMs: 1000 },
  { mode: 404, empty: 404, firstMs: 1000, laterMs: 1000 },
  { mode: 429, empty: 503, firstMs: 1000, laterMs: 1000 },
  { mode: 500, empty: 503, firstMs: 1000, laterMs: 1000 },
]
/** Two upstreams, so that neither question profits from what the other one taught Layover. */
const cachedName = 'cached.test'
const emptyName = 'empty.test'
const laterAsks = 5

export async function outagesRow(site: Site): Promise<Figure[]> {
  const figures: Figure[] = []
  for (const outage of outages) figures.push(...(await oneOutage(site, outage)))
  return figures
}

async function oneOutage(site: Site, outage: Outage): Promise<Figure[]> {
  const ports = [
    await site.origin.call('listen', undefined),
    await site.origin.call('listen', undefined),
  ] as const
  await using layover = await site.startLayover({
    upstreams: { [cachedName]: ports[0], [emptyName]: ports[1] },
  })
  const ask = (name: string) =>
    site.client.call('ask', { url: `${layover.url}/v2/${name}/bench/app/manifests/v1` })
  const { body } = await site.origin.call('addManifest', { tag: 'v1' })
  const well = await ask(cachedName)
  if (well.status !== 200) throw new Error(`the pull before the outage got ${well.status}: ${text(well)}`)
  for (const port of ports) await site.origin.call('setMode', { port, mode: outage.mode })
  const first = await ask(cachedName)
  const later: Answer[] = []
  for (let asked = 0; asked < laterAsks; asked += 1) later.push(await ask(cachedName))
  return [cachedFigure(outage, { first, later, body }), emptyFigure(outage, await ask(emptyName))]
}

function cachedFigure({ mode, firstMs, laterMs }: Outage, { first, later, body }: Asked): Figure {
  const isStale = (answer: Answer) =>
    answer.status === 200 && text(answer) === body && answer.headers.warning !== undefined
  const slowest = Math.max(...later.map(tookMs))
  const stale = [first, ...later].every(isStale)
  const statuses = [...new Set([first, ...later].map(({ status }) => status))].join(', ')
  return {
    figure: `${mode}: a cached tag`,
    goal: firstMs === laterMs ? `stale in ≤ ${firstMs} ms` : `stale in ≤ ${firstMs} ms, then ≤ ${laterMs} ms`,
    measured: `${statuses}${stale ? ' stale' : ' not stale'} in ${tookMs(first).toFixed(0)} ms, then ${slowest.toFixed(0)} ms`,
    reached: stale && tookMs(first) <= firstMs && slowest <= laterMs,
  }
}

function emptyFigure({ mode, empty }: Outage, answer: Answer): Figure {
  const named = text(answer).includes(emptyName)
  const retry = empty !== 503 || answer.headers['retry-after'] !== undefined
  return {
    figure: `${mode}: nothing cached`,
    goal: `${empty}${empty === 503 ? ' + Retry-After' : ''}, names the upstream`,
    measured: `${answer.status} in ${tookMs(answer).toFixed(0)} ms: ${text(answer).slice(0, 160)}`,
    reached: answer.status === empty && named && retry,
  }
}

function text({ body }: Answer): string {
  return Buffer.from(body).toString()
}

function tookMs({ startedMs, endedMs }: Answer): number {
  return endedMs - startedMs
}

interface Outage {
  mode: Mode
  empty: number
  firstMs: number
  laterMs: number
}

interface Asked {
  first: Answer
  later: readonly Answer[]
  body: string
}
