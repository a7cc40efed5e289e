/** Reads and writes of sorted sets: a write never fails but is remembered as lost, and what was lost is not read. */
import { type Redis, type RedisClient, RedisDown, RedisRefused } from '../../cluster/redis/redis.ts'
import type { Clock } from '../../runtime/clock.ts'
import { Era } from './era.ts'
import { endOf, eraKey, type Range } from './keys.ts'
import { Losses, type Mend } from './losses.ts'
import { dropExactly, dropMembers, putMembers, readMembers } from './scripts.ts'

export interface Found {
  /** In force when it was read. */
  readonly era: Buffer | undefined
  /** The stamp of each mark that was asked for. */
  readonly marks: readonly (Buffer | undefined)[]
  readonly members: readonly Buffer[]
}

/** What is read: members from `from` on. */
export interface Part {
  readonly from: Buffer
  /** Exclusive. */
  readonly to: Buffer
  readonly limit: number
}

export type Pair = readonly [name: Buffer, value: Buffer]

const pairsAtOnce = 100
const membersAtOnce = 1000
const nothing = Buffer.alloc(0)

export class Shelf {
  readonly era: Era
  readonly losses: Losses
  readonly #redis: Redis
  readonly #pending = new Set<Promise<void>>()
  #isClosed = false

  /** @param overflowed told when so much was lost that everything has to be doubted */
  constructor(redis: Redis, clock: Clock, overflowed: () => void) {
    this.#redis = redis
    this.era = new Era(redis, clock)
    this.losses = new Losses({
      redis,
      clock,
      overflowed: () => {
        this.era.end()
        overflowed()
      },
    })
  }

  /** Everything that was written is there. */
  get up(): boolean {
    return !this.#isClosed && this.#redis.up && this.losses.isEmpty
  }

  /** Resolves when every write so far has ended, one way or another. */
  async settled(): Promise<void> {
    await Promise.all(this.#pending)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.settled()
    this.losses.close()
  }

  /** @param lifeMs undefined: for ever */
  async put(key: string, lifeMs: number | undefined, pairs: readonly Pair[]): Promise<void> {
    const life = String(lifeMs ?? '')
    const writes: Promise<void>[] = []
    for (let at = 0; at < pairs.length; at += pairsAtOnce) {
      const some = pairs.slice(at, at + pairsAtOnce).flat()
      writes.push(this.write(key, (client, full) => client.eval(putMembers, 1, full, life, ...some)))
    }
    await Promise.all(writes)
  }

  /** @param stamp what their values begin with: others stay */
  async drop(key: string, names: readonly Buffer[], stamp: Buffer = nothing): Promise<void> {
    if (names.length === 0) return
    await this.write(key, (client, full) => client.eval(dropMembers, 1, full, stamp, ...names))
  }

  /** Members as they were read, each with what points at it; one that has another value by now stays. */
  async dropExactly(key: string, members: readonly Pair[]): Promise<void> {
    for (let at = 0; at < members.length; at += pairsAtOnce) {
      const some = members.slice(at, at + pairsAtOnce).flat()
      await this.write(key, (client, full) => client.eval(dropExactly, 1, full, ...some))
    }
  }

  /**
   * What is not written for sure is lost: the key is not read until it was put right.
   *
   * @param mend default: the key is deleted
   */
  write(
    key: string,
    task: (client: RedisClient, full: string) => Promise<unknown>,
    mend?: Mend,
  ): Promise<void> {
    if (this.#isClosed) return Promise.resolve()
    const writing = this.#write(key, task, mend).finally(() => this.#pending.delete(writing))
    this.#pending.add(writing)
    return writing
  }

  /** The value behind a name. @throws RedisDown */
  async value(key: string, name: Buffer): Promise<Buffer | undefined> {
    const member = await this.firstAfter(key, name)
    return member?.subarray(0, name.length).equals(name) ? member.subarray(name.length) : undefined
  }

  /** The first member that begins with the bytes, or comes after them. @throws RedisDown */
  async firstAfter(key: string, from: Buffer): Promise<Buffer | undefined> {
    const [member] = await this.read(key, (client, full) =>
      client.zrangebylexBuffer(full, inclusive(from), '+', 'LIMIT', 0, 1),
    )
    return member
  }

  /** Members and marks of one moment, in an era that lasted until then. @throws RedisDown */
  async part(key: string, { from, to, limit }: Part, marks: readonly Buffer[]): Promise<Found> {
    const asked = this.#redis.key(eraKey)
    const [era, found] = await this.read(key, async (client, full) =>
      Promise.all([
        client.getBuffer(asked),
        client.callBuffer('eval', readMembers, 1, full, from, to, String(limit), ...marks),
      ]),
    )
    const [stamps = [], members = []] = found as [Buffer[]?, Buffer[]?]
    const values = stamps.map((stamp, at) =>
      stamp.length === 0 ? undefined : stamp.subarray(marks[at]?.length),
    )
    return { era: this.era.learn(era), marks: values, members }
  }

  /** Members of a range, page by page. @throws RedisDown */
  async *pages(key: string, range: Range, from = range.prefix): AsyncGenerator<readonly Buffer[]> {
    const to = endOf(range.prefix)
    for (let next = from; ; ) {
      const members = await this.read(key, (client, full) =>
        client.zrangebylexBuffer(full, inclusive(next), exclusive(to), 'LIMIT', 0, membersAtOnce),
      )
      if (members.length > 0) yield members
      const last = members.at(-1)
      if (!last || members.length < membersAtOnce) return
      next = Buffer.concat([last, Buffer.of(0)])
    }
  }

  /** @throws RedisDown */
  async read<T>(key: string, task: (client: RedisClient, full: string) => Promise<T>): Promise<T> {
    if (this.#isClosed) throw new RedisDown('the index is closed')
    if (this.losses.has(key)) throw new RedisDown('a write was lost')
    const answer = await this.#redis.ask(client => task(client, this.#redis.key(key)))
    if (this.losses.has(key)) throw new RedisDown('a write was lost')
    return answer
  }

  async #write(
    key: string,
    task: (client: RedisClient, full: string) => Promise<unknown>,
    mend: Mend | undefined,
  ): Promise<void> {
    const full = this.#redis.key(key)
    const lost = () => this.losses.add(key, mend ?? (client => client.unlink(full)))
    if (this.losses.has(key)) return lost() // it would be deleted with the rest
    try {
      await this.#redis.ask(client => task(client, full))
    } catch (error) {
      if (!(error instanceof RedisDown)) throw error
      lost()
      if (error instanceof RedisRefused) this.#awaitRoom(full)
    }
  }

  /** To forget what was there is seldom refused, also by a Redis that is full: it is not up before it takes something again. */
  #awaitRoom(full: string): void {
    const room = `${full}:room` // on the same node
    this.losses.add('room', client => client.set(room, '', 'PX', 1))
  }
}

function inclusive(bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from('['), bytes])
}

function exclusive(bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from('('), bytes])
}
