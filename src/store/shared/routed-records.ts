/** Records by whose they are: of local repositories, of proxied ones, or of the store itself. */
import type { Durability } from '../files/durable.ts'
import type { Records, StoredRecord, Version } from '../records.ts'

export class RoutedRecords implements Records {
  readonly #route: (path: string) => Records

  constructor(route: (path: string) => Records) {
    this.#route = route
  }

  read(path: string): Promise<{ record: StoredRecord; version: Version } | undefined> {
    return this.#route(path).read(path)
  }

  create(path: string, record: StoredRecord, durability: Durability): Promise<boolean> {
    return this.#route(path).create(path, record, durability)
  }

  replace(path: string, record: StoredRecord, version: Version, durability: Durability): Promise<boolean> {
    return this.#route(path).replace(path, record, version, durability)
  }

  save(path: string, record: StoredRecord, durability: Durability): Promise<void> {
    return this.#route(path).save(path, record, durability)
  }

  remove(path: string, durability?: Durability): Promise<void> {
    return this.#route(path).remove(path, durability)
  }
}
