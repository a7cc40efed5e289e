/** What says that an entry or a mark is of the epoch in force. */
import { randomBytes } from 'node:crypto'
import type { Redis } from '../../cluster/redis/redis.ts'
import { localRegistry, type RepositoryKey } from '../../store/layout.ts'
import { Damaged } from './codec.ts'
import { stampBytes } from './era.ts'

type Registry = Pick<RepositoryKey, 'registry'>

const none = Buffer.alloc(0)

export class Stamps {
  readonly #redis: Redis
  #own = randomBytes(stampBytes)
  /** Of Redis, when the stamp was new. */
  #incarnation: number

  constructor(redis: Redis) {
    this.#redis = redis
    this.#incarnation = redis.incarnation
  }

  /**
   * What entries of local repositories bear. A Redis that was lost for a moment may be one that forgot what was written
   * last: then all that is local has to be put anew.
   */
  get own(): Buffer {
    if (this.#incarnation !== this.#redis.incarnation) this.renew()
    return this.#own
  }

  renew(): void {
    this.#own = randomBytes(stampBytes)
    this.#incarnation = this.#redis.incarnation
  }

  /** Of an entry: what belongs to upstreams bears none. */
  of({ registry }: Registry): Buffer {
    return registry === localRegistry ? this.own : none
  }

  /** Of a mark. */
  mark(key: Registry, era: Buffer | undefined): Buffer | undefined {
    return era && Buffer.concat([this.of(key), era])
  }

  /** What stands behind the stamp of an entry; undefined when it is of another epoch. */
  current(key: Registry, value: Buffer): Buffer | undefined {
    const stamp = this.of(key)
    return value.subarray(0, stamp.length).equals(stamp) ? value.subarray(stamp.length) : undefined
  }

  /**
   * What stands behind the stamp of an entry that lies under a mark of ours. One of another epoch has come there since,
   * in place of ours or beside it.
   *
   * @throws Damaged
   */
  believed(key: Registry, value: Buffer): Buffer {
    const packed = this.current(key, value)
    if (!packed) throw new Damaged('another epoch wrote it')
    return packed
  }
}
