/** `layover stats`: what the store holds, also beside the process that serves it. */
import type { Config } from '../../config/config.ts'
import { loadConfig } from '../../config/load.ts'
import { roundedSize } from '../../config/quantity.ts'
import { createLogger } from '../../observe/log.ts'
import { createMetrics } from '../../observe/metrics.ts'
import { type Progress, readProgress } from '../../scrub/progress.ts'
import { countQuotas, type QuotaUse } from '../../scrub/quota-use.ts'
import { areas, countStore, type Stats } from '../../scrub/stats.ts'
import { readFormat } from '../../store/format.ts'
import { StoreUnusable } from '../../store/open.ts'
import { openStoreReader, type Store } from '../../store/store.ts'
import { closedUpstream } from '../../upstream/closed.ts'
import { namespaceOf, resolverOf } from '../resolver.ts'
import { noteOnBucket } from '../shared.ts'
import { exitCodeOf } from './exit-code.ts'

/** Resolves with the exit code. */
export async function runStats(configPath: string, { json }: { json: boolean }): Promise<number> {
  try {
    const { config } = await loadConfig(configPath)
    const store = openStoreReader(config.store.path, { log: createLogger('error'), metrics: createMetrics() })
    if (!(await readFormat(store.layout)))
      throw new StoreUnusable(`there is no store at ${config.store.path}`)
    const stats = await countStore(store.layout)
    const quotas = await quotasOf(config, store)
    const scrub = await readProgress(store)
    store.close()
    const note = noteOnBucket(config, 'not counted')
    process.stdout.write(
      json ? `${JSON.stringify({ ...stats, quotas, scrub })}\n` : note + textOf({ ...stats, quotas, scrub }),
    )
    return 0
  } catch (error) {
    return exitCodeOf(error)
  }
}

/** Where the records lie in a bucket the disk does not know. */
async function quotasOf(config: Config, store: Store): Promise<QuotaUse[]> {
  if (config.store.s3) return []
  const resolver = resolverOf(config, ({ options }) => closedUpstream(options))
  return countQuotas(store, config.local, key => namespaceOf(key, resolver))
}

interface Counted extends Stats {
  readonly quotas: readonly QuotaUse[]
  readonly scrub: Progress | undefined
}

function textOf({ areas: held, shared, registries, quotas, scrub }: Counted): string {
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
    ...(quotas.length > 0
      ? [table([['quota', 'size', 'allowed', 'tags', 'allowed'], ...quotas.map(rowOf)]), '\n']
      : []),
    `scrubbed: ${whenOf(scrub)}\n`,
  ].join('')
}

function rowOf({ namespace, bytes, tags }: QuotaUse): string[] {
  const size = (of: number | null) => (of === null ? 'no limit' : roundedSize(of))
  return [
    namespace,
    size(bytes.used),
    size(bytes.allowed),
    String(tags.used),
    String(tags.allowed ?? 'no limit'),
  ]
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
