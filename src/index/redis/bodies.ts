/** Listings that upstreams answered, kept to be served again: so many, and so many bytes, of all registries together. */
import { createHash } from 'node:crypto'
import { keyText, type RepositoryKey } from '../../store/layout.ts'
import type { ListingEntry } from '../index.ts'
import { Damaged, packNumbers, unpackNumber } from './codec.ts'
import { proxiedLifeMs } from './keys.ts'
import { putBody } from './scripts.ts'
import type { Shelf } from './shelf.ts'

export interface BodyLimits {
  readonly rows: number
  readonly bytes: number
}

/** All in one hash slot, so that the oldest can be found. */
const parts = ['{bodies}:all', '{bodies}:times', '{bodies}:bytes'] as const
const [all] = parts

export class Bodies {
  readonly #shelf: Shelf
  readonly #limits: BodyLimits
  readonly #key: (part: string) => string

  /** @param key puts the prefix in front */
  constructor(shelf: Shelf, limits: BodyLimits, key: (part: string) => string) {
    this.#shelf = shelf
    this.#limits = limits
    this.#key = key
  }

  /** @throws RedisDown, Damaged */
  async get(key: RepositoryKey, kind: string, query: string): Promise<ListingEntry | undefined> {
    const found = await this.#shelf.read(all, (client, full) =>
      client.hgetBuffer(full, nameOf(key, kind, query)),
    )
    if (!found) return undefined
    const end = found.findIndex(byte => byte < 0x80) // of the time
    if (end < 0) throw new Damaged('no time')
    return { body: found.toString('utf8', end + 1), fetchedAt: unpackNumber(found) }
  }

  put(key: RepositoryKey, kind: string, query: string, { body, fetchedAt }: ListingEntry): Promise<void> {
    const keys = parts.map(this.#key)
    const value = Buffer.concat([packNumbers(fetchedAt), Buffer.from(body)])
    const { rows, bytes } = this.#limits
    const args = [proxiedLifeMs, nameOf(key, kind, query), value, fetchedAt, rows, bytes]
    return this.#shelf.write(
      all,
      client => client.eval(putBody, keys.length, ...keys, ...args),
      client => client.unlink(...keys),
    )
  }
}

function nameOf(key: RepositoryKey, kind: string, query: string): Buffer {
  return createHash('sha256')
    .update(`${keyText(key)} ${kind} ${query}`)
    .digest()
}
