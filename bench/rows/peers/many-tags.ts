/** A manifest by tag among ever more tags: scattered, so that no memory cache holds what is asked for. */
import { join } from 'node:path'
import { type Compared, type Figure, median, spread } from '../../figure.ts'
import { makeTagged, repositoryOf, writeTaggedFiles } from '../../holdings-tags.ts'
import { absent, compare, type Work } from '../../peers/compare.ts'
import { nginx } from '../../peers/nginx.ts'
import { clientCore, ours, type Stall, type Stand, serverCore } from '../../peers/stand.ts'
import { wrk } from '../../peers/wrk.ts'
import type { Site } from '../../site.ts'

const allCounts = [10, 10_000, 1_000_000] as const
const quickCounts = [10, 10_000] as const
const goalPerSecond = 7_000

export async function manyTags(site: Site): Promise<Figure[]> {
  const counts = site.quick ? quickCounts : allCounts
  await using stand = await openStand(site, counts)
  const figures: Figure[] = []
  for (const tags of counts) figures.push(...(await compare(stand, workAmong(tags))))
  const most = figures.find(
    ({ compared }) => compared?.server === ours && compared.work === nameOf(1_000_000),
  )
  return [...figures, ...(most?.compared ? [rateFigure(most.compared)] : []), ...absent(stand)]
}

function workAmong(tags: number): Work {
  return {
    what: nameOf(tags),
    unit: 'requests/s',
    rounds: 3,
    seconds: 3,
    load: ({ server }, seconds) => {
      const url = `${server.url}/v2/${repositoryOf(tags)}/manifests/`
      return wrk({ url, connections: 32, seconds, cores: clientCore, tags })
    },
  }
}

function nameOf(tags: number): string {
  return `manifest by tag, scattered among ${tags} tags`
}

async function openStand(site: Site, counts: readonly number[]): Promise<Stand> {
  await using started = new AsyncDisposableStack()
  const home = await makeTagged(site, counts)
  const stalls: Stall[] = [
    { name: ours, server: started.use(await site.startLayover({ home, cores: serverCore })), base: '' },
  ]
  const program = nginx.find()
  if (program !== undefined) {
    const options = { home: site.newPath(), cores: serverCore, certificate: undefined }
    stalls.unshift({ name: nginx.name, server: started.use(await nginx.start(program, options)), base: '' })
    await writeTaggedFiles(join(options.home, 'root'), counts)
  }
  const missing = program === undefined ? [`${nginx.name} (${nginx.from})`] : []
  const running = started.move()
  return {
    stalls,
    against: nginx.name,
    pace: site,
    missing,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}

function rateFigure({ work, rates, p99Ms }: Compared): Figure {
  return {
    figure: work,
    goal: `≥ ${goalPerSecond}/s`,
    measured: `${spread(rates, 0, '/s')}; p99 ${p99Ms.toFixed(2)} ms`,
    reached: median(rates) >= goalPerSecond,
  }
}
