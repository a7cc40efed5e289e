/** The index in memory: it keeps the promises of the others for as long as the process lives. */
import { randomUUID } from 'node:crypto'
import { RowIndex } from './row-index.ts'
import { defaultExpendable, type ExpendableLimits, type NamedValue, type Row, type Rows } from './rows.ts'

export function createMemoryIndex(limits: ExpendableLimits = defaultExpendable): RowIndex {
  return new RowIndex(new MemoryRows(limits))
}

class MemoryRows implements Rows {
  epoch = 'memory'
  readonly up = true
  readonly isShared = false
  readonly #scopes = new Map<string, Map<string, Row>>()
  readonly #limits: ExpendableLimits

  constructor(limits: ExpendableLimits) {
    this.#limits = limits
  }

  get(scope: string, name: string): string | undefined {
    return this.#scopes.get(scope)?.get(name)?.value
  }

  page(scope: string, after: string, limit: number): readonly NamedValue[] {
    return [...(this.#scopes.get(scope) ?? [])]
      .filter(([name]) => name > after)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .slice(0, Math.max(0, limit))
      .map(([name, { value }]) => ({ name, value }))
  }

  atOnce<T>(task: () => T): T {
    return task()
  }

  put(scope: string, name: string, row: Row): void {
    const names = this.#scopes.get(scope) ?? new Map<string, Row>()
    this.#scopes.set(scope, names.set(name, row))
    if (row.expendableSince !== undefined) this.#prune()
  }

  drop(scope: string, name: string): void {
    const names = this.#scopes.get(scope)
    names?.delete(name)
    if (names?.size === 0) this.#scopes.delete(scope)
  }

  renew(): void {
    this.epoch = randomUUID()
  }

  async share(): Promise<void> {}

  async flush(): Promise<boolean> {
    return false
  }

  async close(): Promise<void> {}

  #prune() {
    const expendable = [...this.#scopes]
      .flatMap(([scope, names]) => [...names].map(([name, row]) => ({ scope, name, ...row })))
      .filter(({ expendableSince }) => expendableSince !== undefined)
      .sort((a, b) => (b.expendableSince ?? 0) - (a.expendableSince ?? 0))
    let bytes = 0
    for (const [position, { scope, name, value }] of expendable.entries()) {
      bytes += Buffer.byteLength(value)
      if (position >= this.#limits.rows || bytes > this.#limits.bytes) this.drop(scope, name)
    }
  }
}
