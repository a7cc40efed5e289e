/** Entries as rows of text; where it matters, with the epoch in which they are known to be true. */
import { setImmediate } from 'node:timers/promises'
import type { Page } from '../index.ts'
import { type Rows, RowsUnavailable } from './rows.ts'

export interface Place {
  readonly scope: string
  /** What was put in an earlier epoch is not to be believed: a crash may have lost what came after it. */
  readonly isDated: boolean
}

export interface Named<T> {
  readonly name: string
  readonly entry: T
}

export interface Stored<T> {
  readonly entry: T
  /** It is of an earlier epoch. */
  readonly isOutdated: boolean
}

const sweepSize = 1000
const every: Page = { last: undefined, limit: 2 ** 31 }

/** Reads throw RowsUnavailable; writes never fail. */
export class EntryRows {
  readonly #rows: Rows

  constructor(rows: Rows) {
    this.#rows = rows
  }

  put({ scope, isDated }: Place, name: string, entry: unknown): void {
    const json = JSON.stringify(entry)
    this.#rows.put(scope, name, { value: isDated ? `${this.#rows.epoch} ${json}` : json })
  }

  drop({ scope }: Place, name: string): void {
    this.#rows.drop(scope, name)
  }

  get<T>(place: Place, name: string): Stored<T> | undefined {
    const value = this.#rows.get(place.scope, name)
    return value === undefined ? undefined : this.#decode<T>(place, value)
  }

  /** Entries of this epoch after a name. */
  page<T>(place: Place, after: string, limit: number): Named<T>[] {
    const found: Named<T>[] = []
    for (let last = after; ; ) {
      const wanted = limit - found.length
      const rows = this.#rows.page(place.scope, last, wanted)
      for (const { name, value } of rows) {
        if (this.#isOutdated(place, value)) continue
        found.push({ name, entry: this.#decode<T>(place, value).entry })
      }
      last = rows.at(-1)?.name ?? last
      if (rows.length < wanted || found.length >= limit) return found
    }
  }

  /** Of entries of this epoch. */
  names<T extends string>(place: Place, { last, limit }: Page = every): T[] {
    return this.page(place, last ?? '', limit).map(({ name }) => name as T)
  }

  /** Hands out the names of rows of earlier epochs, to be dropped at once. Others get their turn in between. */
  async sweep(place: Place, drop: (name: string) => void): Promise<void> {
    if (!place.isDated) return
    for (let last = ''; ; await setImmediate()) {
      const rows = this.#rows.page(place.scope, last, sweepSize)
      for (const { name, value } of rows) if (this.#isOutdated(place, value)) drop(name)
      if (rows.length < sweepSize) return
      last = rows.at(-1)?.name ?? last
    }
  }

  #isOutdated({ isDated }: Place, value: string): boolean {
    return isDated && !value.startsWith(`${this.#rows.epoch} `)
  }

  #decode<T>(place: Place, value: string): Stored<T> {
    const json = place.isDated ? value.slice(value.indexOf(' ') + 1) : value
    try {
      return { entry: JSON.parse(json) as T, isOutdated: this.#isOutdated(place, value) }
    } catch (cause) {
      throw new RowsUnavailable('a damaged row', { cause })
    }
  }
}
