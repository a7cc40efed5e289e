/** `layover stats`: what the store holds, also beside the process that serves it. */
import { loadConfig } from '../config/load.ts'
import { roundedSize } from '../config/quantity.ts'
import { createLogger } from '../observe/log.ts'
import { createMetrics } from '../observe/metrics.ts'
import { type Progress, readProgress } from '../scrub/progress.ts'
import { areas, countStore, type Stats } from '../scrub/stats.ts'
import { readFormat } from '../store/format.ts'
import { StoreUnusable } from '../store/open.ts'
import { openStoreReader } from '../store/store.ts'
import { exitCodeOf } from './exit-code.ts'
import { noteOnBucket } from './shared.ts'

/** Resolves with the exit code. */
export async function runStats(configPath: string, { json }: { json: boolean }): Promise<number> {
  try {
    const { config } = await loadConfig(configPath)
    const store = openStoreReader(config.store.path, { log: createLogger('error'), metrics: createMetrics() })
    if (!(await readFormat(store.layout)))
      throw new StoreUnusable(`there is no store at ${config.store.path}`)
    const stats = await countStore(store.layout)
    const scrub = await readProgress(store)
    store.close()
    const note = noteOnBucket(config, 'not counted')
    process.stdout.write(json ? `${JSON.stringify({ ...stats, scrub })}\n` : note + textOf(stats, scrub))
    return 0
  } catch (error) {
    return exitCodeOf(error)
  }
}

function textOf({ areas: held, shared, registries }: Stats, scrub: Progress | undefined): string {
  const sizes = areas.map(area => [area, String(held[area].files), roundedSize(held[area].bytes)])
  const names = Object.entries(registries).map(([registry, of]) => [
    registry,
    ...[of.repositories, of.tags, of.manifests, of.blobs].map(String),
  ])
  return [
    table([['area', 'files', 'size'], ...sizes]),
    ...(shared.files > 0
      ? [`${roundedSize(shared.bytes)} of what was pushed are the same files as what is cached\n`]
      : []),
    '\n',
    table([['registry', 'repositories', 'tags', 'manifests', 'blobs'], ...names]),
    '\n',
    `scrubbed: ${whenOf(scrub)}\n`,
  ].join('')
}

/** The first column to the left, the others to the right. */
function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, nth) => Math.max(...rows.map(row => row[nth]?.length ?? 0)))
  const cell = (text: string, nth: number) =>
    nth === 0 ? text.padEnd(widths[nth] ?? 0) : text.padStart(widths[nth] ?? 0)
  return rows.map(row => `${row.map(cell).join('  ')}\n`).join('')
}

function whenOf(scrub: Progress | undefined): string {
  if (!scrub) return 'never'
  const at = (ms: number) => new Date(ms).toISOString()
  if (scrub.endedAt !== undefined) return at(scrub.endedAt)
  return `since ${at(scrub.startedAt)}, up to ${scrub.after ?? 'nothing yet'}`
}
