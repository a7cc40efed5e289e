/** Reads of entries and listings: present, absent under the mark, or unknown. */
import type { Answer, Listing, RepositoryKey, Whole } from '../index.ts'
import type { EntryRows } from './entry-rows.ts'
import type { CompletenessMarks } from './marks.ts'
import { place } from './places.ts'
import { type Rows, RowsUnavailable } from './rows.ts'

const absent = { answer: 'absent' } as const
const unknown = { answer: 'unknown' } as const

/** Rows that cannot be read are unknown. */
export class Answers {
  readonly #rows: Rows
  readonly #entries: EntryRows
  readonly #marks: CompletenessMarks

  constructor(rows: Rows, entries: EntryRows, marks: CompletenessMarks) {
    this.#rows = rows
    this.#entries = entries
    this.#marks = marks
  }

  entry<T>(key: RepositoryKey, listing: Listing, name: string): Answer<T> {
    return this.or<Answer<T>>(() => {
      const found = this.#entries.get<T>(place(listing, key), name)
      if (found) return found.isOutdated ? unknown : { answer: 'present', value: found.entry }
      return this.#marks.isComplete(key, listing) ? absent : unknown
    }, unknown)
  }

  /** What is read under the mark. */
  whole<T>(key: RepositoryKey, what: Whole, read: () => T): Answer<T> {
    return this.or<Answer<T>>(
      () => (this.#marks.isComplete(key, what) ? { answer: 'present', value: read() } : unknown),
      unknown,
    )
  }

  /** What is read at once, or another answer where nothing can be. */
  or<T>(read: () => T, otherwise: T): T {
    try {
      return this.#rows.atOnce(read)
    } catch (error) {
      if (error instanceof RowsUnavailable) return otherwise
      throw error
    }
  }
}
