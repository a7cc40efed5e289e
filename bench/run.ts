/** The figures that Layover is measured by: `node bench/run.ts [--built] [--dir folder] [row…]`; `peers` stands for all rows of that kind. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { Figure } from './figure.ts'
import { draw } from './peers/picture.ts'
import { peerRows } from './peers/rows.ts'
import { boot } from './rows/boot.ts'
import { coldShaped, coldUnbounded } from './rows/cold.ts'
import { corrupt } from './rows/corrupt.ts'
import { cuts } from './rows/cuts.ts'
import { firstByte } from './rows/first-byte.ts'
import { fresh } from './rows/fresh.ts'
import { herd } from './rows/herd.ts'
import { idle } from './rows/idle.ts'
import { listings } from './rows/listings.ts'
import { outagesRow } from './rows/outages.ts'
import { pushOneCore, pushTwoCores } from './rows/push.ts'
import { pushMemory } from './rows/push-memory.ts'
import { smallPushes } from './rows/small-pushes.ts'
import { tail } from './rows/tail.ts'
import { Site } from './site.ts'

const rows: Readonly<Record<string, (site: Site) => Promise<Figure[]>>> = {
  herd,
  'cold-shaped': coldShaped,
  'cold-unbounded': coldUnbounded,
  'first-byte': firstByte,
  tail,
  cuts,
  outages: outagesRow,
  corrupt,
  fresh,
  idle,
  boot,
  'push-one-core': pushOneCore,
  'push-two-cores': pushTwoCores,
  'push-small': smallPushes,
  'push-memory': pushMemory,
  listings,
  ...peerRows,
}
const results = new URL('results/', import.meta.url)
const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { built: { type: 'boolean', default: false }, dir: { type: 'string', default: tmpdir() } },
})

function print(row: string, { figure, goal, measured, reached }: Figure): void {
  const verdict = reached === undefined ? '' : { true: 'reached', false: 'MISSED' }[`${reached}`]
  console.log(`${row.padEnd(16)} ${figure.padEnd(56)} ${goal.padEnd(44)} ${verdict?.padEnd(8)} ${measured}`)
}

/** A row that breaks is a figure that was missed; the others still run. */
async function run(name: string): Promise<Figure[]> {
  const site = await Site.open(options.dir, { built: options.built })
  try {
    return (await rows[name]?.(site)) ?? []
  } catch (error) {
    const measured = error instanceof Error ? error.message : String(error)
    return [{ figure: 'the row broke', goal: '', measured, reached: false }]
  } finally {
    await site[Symbol.asyncDispose]()
  }
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1)) // nothing is left behind
const asked = positionals.flatMap(name => (name === 'peers' ? Object.keys(peerRows) : name))
const unknown = asked.filter(name => !(name in rows))
if (unknown.length > 0) {
  console.error(`no such row: ${unknown.join(', ')}; there are peers, ${Object.keys(rows).join(', ')}`)
  process.exit(2)
}
if (options.built)
  execFileSync(process.execPath, [fileURLToPath(new URL('../scripts/build.ts', import.meta.url))])

const report: (Figure & { row: string })[] = []
for (const name of asked.length > 0 ? asked : Object.keys(rows)) {
  for (const figure of await run(name)) {
    report.push({ row: name, ...figure })
    print(name, figure)
  }
}
const at = new Date().toISOString()
const machine = {
  cpu: cpus()[0]?.model,
  cores: availableParallelism(),
  node: process.version,
  built: options.built,
}
const keep = (kind: string, content: string) =>
  writeFileSync(new URL(`${at.replaceAll(':', '-')}.${kind}`, results), content)
mkdirSync(results, { recursive: true })
keep('json', `${JSON.stringify({ at, ...machine, report }, undefined, 2)}\n`)
const caption = `${at.slice(0, 10)}, ${machine.cpu}, Node ${machine.node}: rate of each server / nginx (black line), the goal in red`
const picture = draw(
  report.flatMap(({ compared }) => compared ?? []),
  caption,
)
if (picture !== undefined) keep('svg', picture)
