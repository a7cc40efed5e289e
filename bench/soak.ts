/** Mixed load with churn, for as long as one likes: `npm run soak -- [--minutes 30] [--cap 256MiB] [--workers 1]`. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { parseSize } from '../src/config/quantity.ts'
import { Child } from './child.ts'
import { Random, Zipf } from './eviction/random.ts'
import { nowMs } from './monotonic.ts'
import { Catalogue } from './soak/catalogue.ts'
import type { calls as clientCalls } from './soak/clients.ts'
import { occupancyOf } from './soak/occupancy.ts'
import type { calls as originCalls } from './soak/origin.ts'
import type { calls as proberCalls } from './soak/prober.ts'
import {
  figuresOf,
  header,
  isWrong,
  type Line,
  type Setting,
  type Soak,
  saveSoak,
  textOf,
} from './soak/report.ts'
import { Soaked } from './soak/server.ts'
import { addTally, emptyTally, type Tally } from './soak/tally.ts'
import { Watch } from './soak/watch.ts'

const registry = 'origin.test'
const lineEveryMs = 10_000
const collectEveryMs = 15_000
const scrubEveryMs = 60_000
/** Bytes of the images, and again what supersedes them in the course of the run, by the cap. */
const contentByCap = 10
const usage = `npm run soak -- [--minutes 30] [--cap 256MiB] [--workers 1] [--seed 1] [--dir folder] [--built] [--node-arg=…]

  --minutes   how long
  --cap       store.maxSize; the images have ten times as much, and new versions bring as much again
  --workers   server processes; 1: one process does all
  --built     what is shipped, built first (npm run soak says it)
  --dir       a folder on the disk that counts; default ${tmpdir()}
  --node-arg  for Layover's Node.js, such as --heap-prof; may be repeated
`

const { values: given } = parseArgs({
  options: {
    minutes: { type: 'string', default: '30' },
    cap: { type: 'string', default: '256MiB' },
    workers: { type: 'string', default: '1' },
    seed: { type: 'string', default: '1' },
    dir: { type: 'string', default: tmpdir() },
    built: { type: 'boolean', default: false },
    'node-arg': { type: 'string', multiple: true, default: [] },
    help: { type: 'boolean', short: 'h', default: false },
  },
})

/** Undefined: there is nothing to run. */
function settingOf(): Setting | undefined {
  const capBytes = parseSize(given.cap)
  const [minutes, workers] = [Number(given.minutes), Number(given.workers)]
  if (!given.help && capBytes && minutes > 0 && Number.isInteger(workers) && workers > 0)
    return { minutes, workers, capBytes, built: given.built }
  console.log(usage)
  process.exitCode = given.help ? 0 : 2
  return undefined
}

async function soak(setting: Setting): Promise<Soak> {
  const { capBytes, minutes, workers, built } = setting
  const home = mkdtempSync(join(given.dir, 'layover-soak-'))
  process.on('exit', () => rmSync(home, { recursive: true, force: true }))
  const content = { seed: Number(given.seed), bytes: contentByCap * capBytes }
  const catalogue = new Catalogue(content)
  await using origin = new Child<typeof originCalls>('soak/origin.ts')
  const originPort = await origin.call('start', content)
  const nodeArgs = given['node-arg']
  await using layover = await Soaked.start({ home, built, workers, registry, originPort, capBytes, nodeArgs })
  await using clients = new Child<typeof clientCalls>('soak/clients.ts')
  await using prober = new Child<typeof proberCalls>('soak/prober.ts')
  using watch = new Watch({ pid: layover.pid, store: layover.store, capBytes })
  const at: Site = { catalogue, origin, layover, clients, prober, watch }
  await startClients(at)
  const ending = new AbortController()
  const { signal } = ending
  const jobsFailed: string[] = []
  const repeated = (['collections', 'scrubs'] as const).map(kind =>
    repeat(layover, kind, { jobsFailed, signal }),
  )
  const superseding = supersede(at, signal)
  const sum = emptyTally()
  const lines = await watchFor(minutes * 60_000, at, sum)
  ending.abort()
  const [published] = await Promise.all([superseding, ...repeated])
  await Promise.all([clients.call('stop', undefined), prober.call('stop', undefined)])
  addTally(sum, await clients.call('take', undefined))
  return {
    ...setting,
    lines,
    pulls: sum.pulls,
    pushes: sum.pushes,
    churn: (catalogue.bytes + published) / capBytes,
    failed: Object.fromEntries(sum.failed),
    wrong: sum.wrong,
    mostDiskBytes: watch.mostDiskBytes,
    looks: watch.looks,
    counted: await counted(layover),
    jobsFailed,
  }
}

/** Who takes part. */
interface Site {
  readonly catalogue: Catalogue
  readonly origin: Child<typeof originCalls>
  readonly layover: Soaked
  readonly clients: Child<typeof clientCalls>
  readonly prober: Child<typeof proberCalls>
  readonly watch: Watch
}

async function startClients({ catalogue, layover: { url }, clients, prober }: Site): Promise<void> {
  const names = Array.from({ length: catalogue.count }, (_, image) => catalogue.nameOf(image))
  await clients.call('start', { url, seed: Number(given.seed), registry, names })
  const { digest } = catalogue.manifest(0, 1)
  await prober.call('start', { url, path: `/v2/${registry}/${names[0]}/manifests/${digest}` })
}

/** Resolves with the lines, which are printed as they come. */
async function watchFor(ms: number, { clients, prober, origin, watch }: Site, sum: Tally): Promise<Line[]> {
  const lines: Line[] = []
  const startedMs = nowMs()
  console.log(header)
  for (let lastMs = startedMs; lastMs - startedMs < ms; ) {
    await pause(lineEveryMs)
    const [tally, probed, asked, watched] = await Promise.all([
      clients.call('take', undefined),
      prober.call('take', undefined),
      origin.call('take', undefined),
      watch.take(),
    ])
    const elapsed = { seconds: (nowMs() - startedMs) / 1000, since: (nowMs() - lastMs) / 1000 }
    lastMs = nowMs()
    addTally(tally, probed)
    addTally(sum, tally)
    const { mostDiskBytes } = watch
    const counts = lineOf({ ...tally, probesMs: probed.probesMs }, asked, elapsed)
    const line = { ...counts, ...watched, mostDiskBytes }
    lines.push(line)
    console.log(textOf(line))
  }
  return lines
}

/** Popular images get new versions more often. Resolves with the bytes that these did not share. */
async function supersede({ catalogue, origin, clients }: Site, signal: AbortSignal): Promise<number> {
  const random = new Random(Number(given.seed) + 1)
  const zipf = new Zipf(random, catalogue.count, 0.5)
  const bytesPerMs = catalogue.bytes / (Number(given.minutes) * 60_000)
  let bytes = 0
  while (!signal.aborted) {
    const image = zipf.draw()
    const version = await origin.call('supersede', image)
    await clients.call('published', { image, version })
    bytes += catalogue.ownBytes(image)
    await pause(catalogue.ownBytes(image) / bytesPerMs, undefined, { signal }).catch(() => {}) // the end
  }
  return bytes
}

async function repeat(
  layover: Soaked,
  kind: 'collections' | 'scrubs',
  { jobsFailed, signal }: { jobsFailed: string[]; signal: AbortSignal },
): Promise<void> {
  while (!signal.aborted) {
    await pause(kind === 'scrubs' ? scrubEveryMs : collectEveryMs, undefined, { signal }).catch(() => {}) // the end
    await layover.startJob(kind).catch((error: unknown) => jobsFailed.push(String(error)))
  }
}

function lineOf(
  tally: Tally,
  asked: { objects: number; bytes: number },
  { seconds, since }: { seconds: number; since: number },
) {
  const sorted = tally.probesMs.toSorted((a, b) => a - b)
  const quantile = (share: number) => sorted[Math.floor(share * (sorted.length - 1))] ?? Number.NaN
  return {
    seconds,
    pullsPerSecond: tally.pulls / since,
    objectHits: 1 - asked.objects / Math.max(1, tally.objects),
    byteHits: 1 - asked.bytes / Math.max(1, tally.bytes),
    p50Ms: quantile(0.5),
    p99Ms: quantile(0.99),
    failed: [...tally.failed.values()].reduce((sum, count) => sum + count, 0),
    wrong: tally.wrong.length,
  }
}

/** Once nothing is on its way any more: accounts that stay wrong are wrong. */
async function counted(layover: Soaked): Promise<Soak['counted']> {
  for (let tries = 0; ; tries += 1) {
    const accountBytes = await layover.metric('layover_store_bytes', 'area="cached"')
    const { cachedBytes: diskBytes } = occupancyOf(layover.store)
    if (accountBytes === diskBytes || tries === 100) return { accountBytes, diskBytes }
    await pause(100)
  }
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1)) // nothing is left behind
const setting = settingOf()
if (setting) {
  if (setting.built)
    execFileSync(process.execPath, [fileURLToPath(new URL('../scripts/build.ts', import.meta.url))])
  const result = await soak(setting)
  const figures = figuresOf(result)
  for (const { figure, goal, measured, reached } of figures)
    console.log(`${figure.padEnd(52)} ${goal.padEnd(8)} ${reached === false ? 'MISSED ' : ''}${measured}`)
  for (const what of result.wrong.slice(0, 20)) console.error(what)
  for (const file of saveSoak(result, figures)) console.log(file)
  if (isWrong(result)) process.exitCode = 1
}
