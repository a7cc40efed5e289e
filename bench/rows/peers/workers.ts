/** A second worker: what Layover gains from it, against what nginx gains, with the client on the same two cores. */
import { GiB, MiB } from '../../content.ts'
import { type Compared, type Figure, median, spread } from '../../figure.ts'
import { knows, type Layover } from '../../layover.ts'
import { compare, type Work } from '../../peers/compare.ts'
import { nginx } from '../../peers/nginx.ts'
import type { PeerOptions } from '../../peers/peer.ts'
import { accept, makeShelf, pushShelf, type Shelf } from '../../peers/shelf.ts'
import type { Stall, Stand } from '../../peers/stand.ts'
import { wrk } from '../../peers/wrk.ts'
import { pin, type Server } from '../../server.ts'
import type { Site } from '../../site.ts'

/** Of servers and client alike. */
const cores = '0,1'
const connections = 64
const goals = { gain: 0.95, perCpuSecond: 0.95 }
const names = {
  ours: 'Layover, 1 worker',
  ours2: 'Layover, 2 workers',
  theirs: 'nginx, 1',
  theirs2: 'nginx, 2',
}

export async function workers(site: Site): Promise<Figure[]> {
  if (!(await knows('--workers', site)))
    return [
      { figure: 'a second worker', goal: '', measured: 'Layover has no --workers yet', reached: undefined },
    ]
  pin(site.client.pid, cores)
  const shelf = makeShelf([MiB])
  await using stand = await openStand(site, shelf)
  const figures: Figure[] = []
  for (const work of worksOn(site, shelf)) {
    const compared = await compare(stand, work)
    figures.push(...compared, ...gains(compared))
  }
  return figures
}

function worksOn(site: Site, { manifests: [manifest], blobs: [, blob] }: Shelf): Work[] {
  return [
    {
      what: `manifest by tag, ${connections} connections, all on two cores`,
      unit: 'requests/s',
      rounds: 6,
      seconds: 2,
      load: ({ server, base }, seconds) => {
        const url = `${server.url}${base}/manifests/${manifest?.tag}`
        return wrk({ url, connections, seconds, cores, headers: accept })
      },
    },
    {
      what: 'blob 1 MiB, 8 connections, all on two cores',
      unit: 'bytes/s',
      rounds: 4,
      seconds: 2,
      load: ({ server, base }, seconds) => {
        const url = `${server.url}${base}/blobs/${blob?.digest}`
        return site.client.call('drain', { url, connections: 8, seconds })
      },
    },
  ]
}

async function openStand(site: Site, shelf: Shelf): Promise<Stand> {
  await using started = new AsyncDisposableStack()
  const base = `/v2/${shelf.repository}`
  const stalls: Stall[] = []
  const program = nginx.find()
  for (const count of [1, 2]) {
    const ours = started.use(await startOurs(site, shelf, count))
    stalls.push({ name: count === 1 ? names.ours : names.ours2, server: ours, base })
    if (program === undefined) continue
    const theirs = started.use(await startNginx(site, shelf, { program, workers: count }))
    stalls.push({ name: count === 1 ? names.theirs : names.theirs2, server: theirs, base })
  }
  const running = started.move()
  const [against, missing] = [names.theirs, program === undefined ? [`nginx (${nginx.from})`] : []]
  return { stalls, against, pace: site, missing, [Symbol.asyncDispose]: () => running.disposeAsync() }
}

async function startOurs(site: Site, shelf: Shelf, count: number): Promise<Layover> {
  await using started = new AsyncDisposableStack()
  const layover = started.use(await site.startLayover({ cores, args: ['--workers', String(count)] }))
  await pushShelf(site, layover, shelf)
  started.move()
  return layover
}

async function startNginx(
  site: Site,
  shelf: Shelf,
  { program, workers: count }: { program: string; workers: number },
): Promise<Server> {
  const options: PeerOptions = { home: site.newPath(), cores, certificate: undefined, workers: count }
  await using started = new AsyncDisposableStack()
  const server = started.use(await nginx.start(program, options))
  await nginx.fill(site, { home: options.home, server }, shelf)
  started.move()
  return server
}

/** Of one work. */
function gains(figures: readonly Figure[]): Figure[] {
  const of = (name: string) => figures.find(({ compared }) => compared?.server === name)?.compared
  const [one, two] = [of(names.ours), of(names.ours2)]
  if (!one || !two) return []
  const own = gainOf(one, two)
  const [limitOne, limitTwo] = [of(names.theirs), of(names.theirs2)]
  const limit = limitOne && limitTwo ? gainOf(limitOne, limitTwo) : []
  const share = limit.map((gain, round) => (own[round] ?? Number.NaN) / gain)
  const cost = (compared: Compared) =>
    compared.unit === 'bytes/s' ? compared.cpuSecondsPerGiB * GiB : compared.cpuMicrosPerRequest
  const perCpuSecond = cost(one) / cost(two)
  return [
    {
      figure: `two workers / one: ${one.work}`,
      goal: `≥ ${goals.gain} × what nginx gains`,
      measured:
        limit.length === 0
          ? `${spread(own, 2)}; nginx is not here`
          : `${spread(share, 2)}; Layover ${spread(own, 2)}, nginx ${spread(limit, 2)}`,
      reached: limit.length === 0 ? undefined : median(share) >= goals.gain,
    },
    {
      figure: '  work per CPU second of the tree, two / one',
      goal: `≥ ${goals.perCpuSecond}`,
      measured: `${perCpuSecond.toFixed(2)}; memory of the tree ${mebibytes(one)} and ${mebibytes(two)}`,
      reached: perCpuSecond >= goals.perCpuSecond,
    },
  ]
}

function gainOf(one: Compared, two: Compared): number[] {
  return one.rates.map((rate, round) => (two.rates[round] ?? Number.NaN) / rate)
}

function mebibytes({ memoryBytes }: Compared): string {
  return `${(memoryBytes / MiB).toFixed(0)} MiB`
}
