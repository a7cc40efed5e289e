/** How far a scrub has come, in a file of the store: one that was stopped or killed goes on where it was. */
import type { Store } from '../store/store.ts'
import { nothingYet, type Report } from './run.ts'

export interface Progress {
  /** Milliseconds since the epoch. */
  readonly startedAt: number
  /** The last shard folder that was gone through. */
  readonly after?: string
  /** It is over. */
  readonly endedAt?: number
  readonly report: Report
}

/** Undefined where no scrub was ever begun; a damaged file is none. */
export async function readProgress({
  records,
  layout,
}: Pick<Store, 'records' | 'layout'>): Promise<Progress | undefined> {
  const found = await records.read(layout.scrub)
  const { startedAt, endedAt, after, report }: Readonly<Record<string, unknown>> = found?.record ?? {}
  if (typeof startedAt !== 'number') return undefined
  return {
    startedAt,
    ...(typeof endedAt === 'number' ? { endedAt } : {}),
    ...(typeof after === 'string' ? { after } : {}),
    report: { ...nothingYet, ...(report as Partial<Report> | undefined) },
  }
}

/** To have lost it in a power cut costs time. */
export function saveProgress({ records, layout }: Store, progress: Progress): Promise<void> {
  return records.save(layout.scrub, { v: 1, ...progress }, { durable: false })
}
