/** Which repositories something was put for, as rows. */
import { latest } from '../../runtime/latest.ts'
import { keyText } from '../../store/layout.ts'
import type { Page, RepositoryKey } from '../index.ts'
import type { EntryRows } from './entry-rows.ts'
import { registriesPlace, repositoriesMark, repositoriesPlace } from './places.ts'
import type { Rows } from './rows.ts'

/** To have forgotten one costs a write. */
const maxNoted = 10_000

/** Reads throw RowsUnavailable; writes never fail. */
export class RepositoryRows {
  readonly #rows: Rows
  readonly #entries: EntryRows
  /** The epoch in which a repository was put last. */
  readonly #noted = latest<string, string>(maxNoted)

  constructor(rows: Rows, entries: EntryRows) {
    this.#rows = rows
    this.#entries = entries
  }

  put(key: RepositoryKey): void {
    const name = keyText(key)
    const { epoch } = this.#rows
    if (this.#noted.get(name) === epoch) return
    this.#noted.set(name, epoch)
    this.#entries.put(registriesPlace, key.registry, 1)
    this.#entries.put(repositoriesPlace(key.registry), key.repository, 1)
  }

  drop(key: RepositoryKey): void {
    this.#noted.delete(keyText(key))
    this.#entries.drop(repositoriesPlace(key.registry), key.repository)
  }

  registries(): string[] {
    return this.#entries.names(registriesPlace)
  }

  /** Undefined while they are not known whole. */
  page(registry: string, page: Page): string[] | undefined {
    if (this.#rows.get(repositoriesMark.scope, repositoriesMark.name) !== this.#rows.epoch) return undefined
    return this.#entries.names(repositoriesPlace(registry), page)
  }

  async markComplete(epoch: string): Promise<void> {
    for (const registry of this.registries()) {
      const place = repositoriesPlace(registry)
      await this.#entries.sweep(place, name => this.#entries.drop(place, name))
    }
    this.#rows.put(repositoriesMark.scope, repositoriesMark.name, { value: epoch })
  }
}
