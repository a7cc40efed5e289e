/** Where the time of Layover goes, as flame graphs: `node bench/flame.ts [--out folder] [--seconds n] [manifest] [blob]`. */
import { globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { MiB } from './content.ts'
import { drawFlame } from './flame/drawing.ts'
import { fold } from './flame/profile.ts'
import type { Layover } from './layover.ts'
import { nowMs } from './monotonic.ts'
import type { Load } from './peers/load.ts'
import { accept, makeShelf, pushShelf, type Shelf } from './peers/shelf.ts'
import { clientCore, serverCore } from './peers/stand.ts'
import { wrk } from './peers/wrk.ts'
import { pin } from './server.ts'
import { Site } from './site.ts'
import { lacks } from './tools.ts'

const sampleMicros = 250
const warmUpSeconds = 2

interface Plan {
  what: string
  load: (site: Site, url: string, seconds: number) => Promise<Load>
  path: (shelf: Shelf) => string
}

const plans: Readonly<Record<string, Plan>> = {
  manifest: {
    what: 'A cached manifest by tag, 32 connections',
    path: ({ manifests: [manifest] }) => `/manifests/${manifest?.tag}`,
    load: (_site, url, seconds) => wrk({ url, connections: 32, seconds, cores: clientCore, headers: accept }),
  },
  blob: {
    what: 'A cached blob of 1 MiB, 8 connections',
    path: ({ blobs: [, blob] }) => `/blobs/${blob?.digest}`,
    load: (site, url, seconds) => site.client.call('drain', { url, connections: 8, seconds }),
  },
}

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    out: { type: 'string', default: fileURLToPath(new URL('results/', import.meta.url)) },
    seconds: { type: 'string', default: '8' },
    dir: { type: 'string', default: tmpdir() },
  },
})
const names = positionals.length > 0 ? positionals : Object.keys(plans)
const wrong = [...names.filter(name => !(name in plans)).map(name => `there is no work ${name}`), ...lacks()]
for (const line of wrong) console.error(`bench: ${line}`)
if (wrong.length > 0) process.exitCode = 2
else for (const name of names) await flame(name, Number(options.seconds))

/** From source: the bundle knows no files. */
async function flame(name: string, seconds: number): Promise<void> {
  const plan = plans[name]
  if (!plan) return
  await using site = await Site.open(options.dir, { built: false, quick: false })
  pin(site.client.pid, clientCore)
  const profiles = site.newPath()
  const nodeArgs = ['--cpu-prof', `--cpu-prof-dir=${profiles}`, `--cpu-prof-interval=${sampleMicros}`]
  const layover = await site.startLayover({ cores: serverCore, nodeArgs })
  const { load, span } = await underLoad(site, layover, { plan, seconds })
  await layover[Symbol.asyncDispose]() // writes the profile
  // The second number is the thread: 0 answers requests.
  const [file] = globSync(join(profiles, 'CPU.*.*.*.0.*.cpuprofile'))
  if (file === undefined) throw new Error('Node left no profile: did it end in time?')
  const folded = fold(readFileSync(file, 'utf8'), span)
  const busy = folded.root.totalMicros / (folded.root.totalMicros + folded.idleMicros)
  const rate = Math.round(load.requests / load.seconds)
  const drawing = drawFlame(folded, {
    title: plan.what,
    detail: `${seconds} s on one core, ${(busy * 100).toFixed(0)} % busy, ${rate.toLocaleString('en').replaceAll(',', ' ')} requests/s under the profiler; Node ${process.version}, a sample each ${sampleMicros} µs`,
  })
  mkdirSync(options.out, { recursive: true })
  const path = join(options.out, `flame-${name}.svg`)
  writeFileSync(path, drawing)
  console.log(path)
}

async function underLoad(site: Site, layover: Layover, { plan, seconds }: { plan: Plan; seconds: number }) {
  const shelf = makeShelf([MiB])
  await pushShelf(site, layover, shelf)
  const url = `${layover.url}/v2/${shelf.repository}${plan.path(shelf)}`
  await plan.load(site, url, warmUpSeconds)
  const fromMicros = nowMs() * 1000
  const load = await plan.load(site, url, seconds)
  if (load.failed > 0) throw new Error(`${load.failed} of ${load.requests} answers were not right`)
  return { load, span: { fromMicros, toMicros: nowMs() * 1000 } }
}
