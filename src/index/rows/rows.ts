/** Rows of text under a scope and a name: all that an index needs of what keeps it. */

export interface Row {
  readonly value: string
  /** Such rows are bounded together: when there are too many, the one with the smallest time goes first. */
  readonly expendableSince?: number
}

export interface ExpendableLimits {
  readonly rows: number
  readonly bytes: number
}

export const defaultExpendable: ExpendableLimits = { rows: 10_000, bytes: 64 * 2 ** 20 }

/** Writes never fail and are seen by every later read; reads throw RowsUnavailable instead of waiting. */
export interface Rows {
  /** Changes whenever rows may have been lost: what was said about their completeness before is void. */
  readonly epoch: string
  /** Whether what is written here outlives the process. */
  readonly up: boolean
  /** Whether other processes find there what was flushed. */
  readonly isShared: boolean
  get(scope: string, name: string): string | undefined
  /** Names and values of a scope in byte order of the names, after `after` (exclusive). */
  page(scope: string, after: string, limit: number): readonly NamedValue[]
  /** What the task reads is of one moment. */
  atOnce<T>(task: () => T): T
  put(scope: string, name: string, row: Row): void
  drop(scope: string, name: string): void
  /** Begins a new epoch; the rows stay. */
  renew(): void
  /** Whether everything that was written before is where other processes find it. */
  flush(): Promise<boolean>
  /** As `flush`, but tries no more than once. */
  share(): Promise<void>
  close(): Promise<void>
}

export interface NamedValue {
  readonly name: string
  readonly value: string
}

/** The answer cannot be had now; the asker goes to the records. */
export class RowsUnavailable extends Error {
  override readonly name = 'RowsUnavailable'
}
