/** The figures that Layover is measured by: `node bench/run.ts [--built] [--quick] [--dir folder] [--nodes number] [row…]`. */
import { execFileSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { Figure } from './figure.ts'
import { peerRows } from './peers/rows.ts'
import { print, type RowFigure, save } from './report.ts'
import { access, loginStorm } from './rows/access.ts'
import { boot } from './rows/boot.ts'
import { coldShaped, coldUnbounded } from './rows/cold.ts'
import { collection } from './rows/collection.ts'
import { corrupt } from './rows/corrupt.ts'
import { cuts } from './rows/cuts.ts'
import { eviction } from './rows/eviction.ts'
import { firstByte } from './rows/first-byte.ts'
import { fresh } from './rows/fresh.ts'
import { herd } from './rows/herd.ts'
import { idle } from './rows/idle.ts'
import { listings } from './rows/listings.ts'
import { makingRoom } from './rows/making-room.ts'
import { outagesRow } from './rows/outages.ts'
import { pushOneCore, pushTwoCores } from './rows/push.ts'
import { pushMemory } from './rows/push-memory.ts'
import { redisMemory } from './rows/redis-memory.ts'
import { clusterHerd } from './rows/replicas/herd.ts'
import { clusterKill } from './rows/replicas/kill.ts'
import { clusterNodes } from './rows/replicas/nodes.ts'
import { redisKilled } from './rows/replicas/redis-killed.ts'
import { redisManifest } from './rows/replicas/redis-manifest.ts'
import { s3Cached } from './rows/replicas/s3-cached.ts'
import { s3Cold } from './rows/replicas/s3-cold.ts'
import { smallPushes } from './rows/small-pushes.ts'
import { tail } from './rows/tail.ts'
import { Site } from './site.ts'
import { lacks } from './tools.ts'

const ownRows: Readonly<Record<string, (site: Site) => Promise<Figure[]>>> = {
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
  eviction,
  'making-room': makingRoom,
  collection,
  access,
  'login-storm': loginStorm,
  'redis-memory': redisMemory,
}
const replicaRows: typeof ownRows = {
  'cluster-herd': clusterHerd,
  'cluster-nodes': clusterNodes,
  'cluster-kill': clusterKill,
  'redis-killed': redisKilled,
  'redis-manifest': redisManifest,
  'redis-memory': redisMemory,
  's3-cached': s3Cached,
  's3-cold': s3Cold,
}
const rows = { ...peerRows, ...ownRows, ...replicaRows }
const groups: Readonly<Record<string, readonly string[]>> = {
  peers: Object.keys(peerRows),
  figures: Object.keys(ownRows),
  replicas: Object.keys(replicaRows),
}
const usage = `npm run bench -- [--quick] [--dir folder] [--nodes number] [row…]

  --quick   one short round of each: whether it works, not how fast it is
  --built   what is shipped, built first (npm run bench says it)
  --dir     a folder on the disk that counts; default ${tmpdir()}
  --nodes   of cluster-nodes; default 300

Rows: ${Object.keys(rows).join(', ')}
\`peers\` are those beside nginx and other registries, \`replicas\` need
redis-server and versitygw, \`figures\` are the others; without a row all are run.
`

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    built: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    dir: { type: 'string', default: tmpdir() },
    nodes: { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
  },
})

/** Names of rows; undefined: nothing is to be run. */
function wanted(): string[] | undefined {
  if (options.help) {
    console.log(usage)
    return undefined
  }
  const names = positionals.flatMap(name => groups[name] ?? name)
  const unknown = names.filter(name => !(name in rows))
  const wrong = unknown.length > 0 ? [`no such row: ${unknown.join(', ')}; see --help`] : lacks()
  if (options.nodes !== undefined && !/^[1-9]\d{0,4}$/.test(options.nodes))
    wrong.push(`--nodes: expected a number up to 99999, got ${options.nodes}`)
  if (wrong.length === 0) return names.length > 0 ? names : Object.keys(rows)
  for (const line of wrong) console.error(`bench: ${line}`)
  process.exitCode = 2
  return undefined
}

/** A row that breaks is a figure that was missed; the others still run. */
async function run(name: string): Promise<Figure[]> {
  const { built, quick } = options
  const nodes = options.nodes === undefined ? undefined : Number(options.nodes)
  const site = await Site.open(options.dir, { built, quick, nodes })
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
const names = wanted()
if (names) {
  if (options.built)
    execFileSync(process.execPath, [fileURLToPath(new URL('../scripts/build.ts', import.meta.url))])
  const report: RowFigure[] = []
  for (const row of names) {
    const figures = await run(row)
    report.push(...figures.map(figure => ({ row, ...figure })))
    print(row, figures)
  }
  for (const file of save(report, { built: options.built, quick: options.quick })) console.log(file)
}
