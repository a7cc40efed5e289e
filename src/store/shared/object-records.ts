/** Records of local repositories in the object store, which alone says what they hold. One process writes them. */
import type { Logger } from '../../observe/log.ts'
import { RegistryError } from '../../oci/errors.ts'
import { latest } from '../../runtime/latest.ts'
import type { Durability } from '../files/durable.ts'
import type { Layout } from '../layout.ts'
import type { Condition, Objects, ObjectVersion } from '../objects.ts'
import { parseRecord, type Records, type StoredRecord, type Version } from '../records.ts'
import { keyOf } from './keys.ts'
import type { Tier } from './tier.ts'

/** A manifest's annotations are in its record. */
const maxRecordBytes = 64 * 1024 * 1024
/** Versions that a write need not ask for first. */
const maxVersions = 10_000

const absent = 'absent'

export interface ObjectRecordsDeps {
  readonly tier: Tier
  readonly layout: Layout
  readonly log: Logger
  /** Throws when this process may not write any more. Asked between finding out what stands there and replacing it. */
  readonly assertOwner: () => void
}

/**
 * Where the object store takes conditions, each write is one: what another process wrote since is left alone, and the
 * write rejected with RegistryError UNAVAILABLE. Everything else rejects with ObjectsFailure.
 */
export class ObjectRecords implements Records {
  readonly #deps: ObjectRecordsDeps
  readonly #versions = latest<string, ObjectVersion>(maxVersions)

  constructor(deps: ObjectRecordsDeps) {
    this.#deps = deps
  }

  /** What was known of versions was known in an earlier term. */
  forget(): void {
    this.#versions.clear()
  }

  async read(path: string): Promise<{ record: StoredRecord; version: Version } | undefined> {
    const key = this.#key(path)
    const known = this.#versions.get(key)
    const found = await this.#deps.tier.use(bucket => bucket.read(key, maxRecordBytes))
    if (this.#versions.get(key) === known) this.#versions.set(key, found?.version ?? absent) // no write came in between
    const record = found && parseRecord(found.content.toString())
    if (found && !record) this.#deps.log.warn({ key }, 'record is not readable: treated as absent')
    return record && { record, version: found.version }
  }

  async create(path: string, record: StoredRecord, { after }: Durability): Promise<boolean> {
    await after
    return this.#put(this.#key(path), record, absent)
  }

  async replace(
    path: string,
    record: StoredRecord,
    version: Version,
    { after }: Durability,
  ): Promise<boolean> {
    await after
    return this.#put(this.#key(path), record, { version })
  }

  async save(path: string, record: StoredRecord, { after }: Durability): Promise<void> {
    const key = this.#key(path)
    await after
    const version = await this.#version(key)
    const condition = version === undefined ? undefined : conditionOf(version)
    if (!(await this.#put(key, record, condition))) throw changed(key)
  }

  async remove(path: string): Promise<void> {
    const key = this.#key(path)
    const version = await this.#version(key)
    if (version === absent) return
    this.#deps.assertOwner()
    this.#versions.delete(key)
    if (!(await this.#deps.tier.use(bucket => bucket.remove(key, version)))) throw changed(key)
  }

  /** Undefined where the object store takes no conditions. */
  async #version(key: string): Promise<ObjectVersion | undefined> {
    const known = this.#versions.get(key)
    return this.#deps.tier.use(async bucket => {
      if (!bucket.isConditional) return undefined
      return known ?? (await bucket.head(key))?.version ?? absent
    })
  }

  async #put(key: string, record: StoredRecord, condition: Condition | undefined): Promise<boolean> {
    this.#deps.assertOwner()
    this.#versions.delete(key) // unknown until it is answered
    const content = Buffer.from(JSON.stringify(record))
    const put = (bucket: Objects) => putIf(bucket, { key, content, condition })
    const version = await this.#deps.tier.use(put)
    if (version === false) return false
    this.#versions.set(key, version)
    return true
  }

  #key(path: string): string {
    return keyOf(this.#deps.layout, path)
  }
}

interface Write {
  readonly key: string
  readonly content: Buffer
  readonly condition: Condition | undefined
}

/** Where conditions are not kept to, what stands there is looked at: one process writes, and nobody comes in between. */
async function putIf(bucket: Objects, { key, content, condition }: Write): Promise<ObjectVersion | false> {
  if (!bucket.isConditional && condition !== undefined) {
    const version = (await bucket.head(key))?.version
    if (condition === absent ? version !== undefined : version !== condition.version) return false
  }
  return bucket.put(key, content, bucket.isConditional ? condition : undefined)
}

function conditionOf(version: ObjectVersion): Condition {
  return version === absent ? absent : { version }
}

function changed(key: string): RegistryError {
  const message = 'another replica wrote this meanwhile: try again'
  return new RegistryError('UNAVAILABLE', message, { cause: new Error(key), retryAfterMs: 1_000 })
}
