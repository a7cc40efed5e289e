/** Writes that wait for the next batch, and answer reads meanwhile. */
import type { NamedValue, Row } from './rows.ts'

/** A row to put; undefined: a row to drop. */
export type Change = Row | undefined

export class Pending {
  readonly #scopes = new Map<string, Map<string, Change>>()
  #rows = 0
  #bytes = 0

  get rows(): number {
    return this.#rows
  }

  /** Every write counts, also one that replaces another: an upper bound. */
  get bytes(): number {
    return this.#bytes
  }

  add(scope: string, name: string, change: Change): void {
    const names = this.#scopes.get(scope) ?? new Map<string, Change>()
    if (!names.has(name)) this.#rows += 1
    this.#bytes += change?.value.length ?? 0
    this.#scopes.set(scope, names.set(name, change))
  }

  /** The waiting change of a row, if there is one. */
  find(scope: string, name: string): { readonly change: Change } | undefined {
    const names = this.#scopes.get(scope)
    return names?.has(name) ? { change: names.get(name) } : undefined
  }

  /** How many changes of a scope wait: as many of its written rows may be out of date. */
  countOf(scope: string): number {
    return this.#scopes.get(scope)?.size ?? 0
  }

  /** The written rows after a name with the changes that wait applied, in byte order. */
  applyTo(scope: string, after: string, written: readonly NamedValue[]): readonly NamedValue[] {
    const names = this.#scopes.get(scope)
    if (names === undefined) return written
    const page = written.filter(({ name }) => !names.has(name))
    for (const [name, row] of names) {
      if (row !== undefined && name > after) page.push({ name, value: row.value })
    }
    return page.sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  *changes(): Generator<readonly [scope: string, name: string, change: Change]> {
    for (const [scope, names] of this.#scopes) {
      for (const [name, change] of names) yield [scope, name, change]
    }
  }

  clear(): void {
    this.#scopes.clear()
    this.#rows = 0
    this.#bytes = 0
  }
}
