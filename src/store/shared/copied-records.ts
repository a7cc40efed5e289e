/** Records of proxied repositories: on the disk, with a copy in the object store for other replicas, and for a disk that is new. */
import type { Durability } from '../files/durable.ts'
import type { Layout } from '../layout.ts'
import { parseRecord, type Records, type StoredRecord, type Version } from '../records.ts'
import type { Behind } from './behind.ts'
import { keyOf } from './keys.ts'
import type { Tier } from './tier.ts'

const maxRecordBytes = 64 * 1024 * 1024

export interface CopiedRecordsDeps {
  readonly disk: Records
  readonly tier: Tier
  readonly behind: Behind
  readonly layout: Layout
}

export class CopiedRecords implements Records {
  readonly #deps: CopiedRecordsDeps

  constructor(deps: CopiedRecordsDeps) {
    this.#deps = deps
  }

  async read(path: string): Promise<{ record: StoredRecord; version: Version } | undefined> {
    const { disk, tier, behind } = this.#deps
    const found = await disk.read(path)
    const key = this.#key(path)
    if (found || behind.has(key)) return found // one that is just being removed is none
    const copy = await tier.ifUp((bucket, signal) => bucket.read(key, maxRecordBytes, signal))
    const record = copy && parseRecord(copy.content.toString())
    if (!record) return undefined
    await disk.create(path, record, { durable: false })
    return disk.read(path)
  }

  async create(path: string, record: StoredRecord, durability: Durability): Promise<boolean> {
    return this.#copied(path, await this.#deps.disk.create(path, record, durability))
  }

  async replace(
    path: string,
    record: StoredRecord,
    version: Version,
    durability: Durability,
  ): Promise<boolean> {
    return this.#copied(path, await this.#deps.disk.replace(path, record, version, durability))
  }

  async save(path: string, record: StoredRecord, durability: Durability): Promise<void> {
    await this.#deps.disk.save(path, record, durability)
    this.#copied(path, true)
  }

  async remove(path: string, durability?: Durability): Promise<void> {
    await this.#deps.disk.remove(path, durability)
    this.#copied(path, true)
  }

  /** What the disk has by the time of its turn is put there, or taken away. */
  #copied(path: string, hasChanged: boolean): boolean {
    const { disk, tier, behind } = this.#deps
    const key = this.#key(path)
    if (!hasChanged) return false
    behind.add(key, async () => {
      const found = await disk.read(path)
      await tier.use(async bucket => {
        if (found) await bucket.put(key, Buffer.from(JSON.stringify(found.record)))
        else await bucket.remove(key)
      })
    })
    return true
  }

  #key(path: string): string {
    return keyOf(this.#deps.layout, path)
  }
}
