/** Which listings of a repository are known whole: each mark names the epoch in which that was found. */
import type { RepositoryKey, Whole } from '../index.ts'
import type { Rows } from './rows.ts'

/** Reads throw RowsUnavailable; writes never fail. */
export class CompletenessMarks {
  readonly #rows: Rows

  constructor(rows: Rows) {
    this.#rows = rows
  }

  put(key: RepositoryKey, what: Whole, epoch: string): void {
    this.#rows.put(scopeOf(key), nameOf(what), { value: epoch })
  }

  drop(key: RepositoryKey, what: Whole): void {
    this.#rows.drop(scopeOf(key), nameOf(what))
    if (typeof what !== 'string') this.#rows.drop(scopeOf(key), 'referrers')
  }

  isComplete(key: RepositoryKey, what: Whole): boolean {
    const isMarked = (name: string) => this.#rows.get(scopeOf(key), name) === this.#rows.epoch
    return isMarked(nameOf(what)) || (typeof what !== 'string' && isMarked('referrers'))
  }
}

function scopeOf({ registry, repository }: RepositoryKey): string {
  return `complete ${registry} ${repository}`
}

function nameOf(what: Whole): string {
  return typeof what === 'string' ? what : `referrers ${what.referrersOf}`
}
