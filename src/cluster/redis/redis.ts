/** The one Redis that the index, claims and messages share: asked for a moment only, and left alone for a while after it failed. */
import { setImmediate } from 'node:timers/promises'
import { type Redis as Client, Cluster } from 'ioredis'
import type { Logger } from '../../observe/log.ts'
import { Quiet } from '../../observe/quiet.ts'
import type { Clock } from '../../runtime/clock.ts'
import { formatRedisAddress } from './address.ts'
import { connectRedis, type RedisClient, type RedisOptions } from './client.ts'
import { RedisMessages, type Subscriber } from './messages.ts'
import { wordsFor } from './words.ts'

export type { RedisClient, RedisOptions, Subscriber }

export interface RedisDeps {
  readonly log: Logger
  readonly clock: Clock
}

/** It does not answer, or not usefully: what was asked may have been carried out or not. */
export class RedisDown extends Error {
  override readonly name: string = 'RedisDown'
}

/** It answers, and refuses this: it is full, say, or does not allow the command. Nothing of it was carried out. */
export class RedisRefused extends RedisDown {
  override readonly name = 'RedisRefused'
}

/** How long anybody waits for Redis. */
export const askMs = 250
/** How long it then counts as down, so that a pull waits once at most. */
const downMs = 1000
/** How long a start waits for the first connection. */
const firstMs = 2500
/** Replies after which nothing else is worth asking for now. */
const downReplies = /^(?:LOADING|CLUSTERDOWN|MASTERDOWN|READONLY|NOAUTH|WRONGPASS|BUSY|MOVED|ASK|TRYAGAIN)\b/

export interface Redis {
  /** It is connected and did not fail within the last second. */
  readonly up: boolean
  /** Changes whenever a connection was lost: from then on it may be a Redis that lost what was written before. */
  readonly incarnation: number
  /** What went wrong last, in words. */
  readonly trouble: string | undefined
  /**
   * Resolves with what the task does. Commands of tasks that are called one after the other are carried out in that
   * order, as far as they are of one hash slot and sent before the task first waits.
   *
   * @throws RedisDown after 250 ms at most; at once while Redis counts as down
   */
  ask<T>(task: (client: RedisClient) => Promise<T>): Promise<T>
  /** The prefix, and the parts after it with `:` between them. Parts in `{…}` decide the hash slot of a Cluster. */
  key(...parts: readonly string[]): string
  /**
   * Names the running servers, all masters of a Cluster: another answer means a restart, a fail-over or another shape.
   *
   * @throws RedisDown when one does not answer within 250 ms
   */
  servers(): Promise<string>
  /** Resolves when the channel is heard, or Redis is down: then it is as soon as it can be. Ends what it returns. */
  subscribe(channel: string, subscriber: Subscriber): Promise<() => void>
  /** Resolves when Redis has taken the message. @throws RedisDown */
  publish(channel: string, message: string): Promise<void>
  close(): Promise<void>
}

/** Never rejects: a registry starts without Redis, and the log says so. */
export async function openRedis(options: RedisOptions, deps: RedisDeps): Promise<Redis> {
  const redis = new SharedRedis(options, deps)
  await redis.settled()
  return redis
}

class SharedRedis implements Redis {
  readonly #options: RedisOptions
  readonly #deps: RedisDeps
  readonly #quiet: Quiet
  readonly #client: RedisClient
  readonly #messages: RedisMessages
  readonly #first = Promise.withResolvers<void>()
  #incarnation = 0
  #trouble: string | undefined
  /** What the client library tells too little of. */
  #hidden: Error | undefined
  /** On the monotonic clock. */
  #downUntil = 0
  #isClosed = false
  #saidDown = false
  /** It failed and has not answered since: one at a time finds out whether it does again. */
  #isDoubtful = false
  #isTried = false

  constructor(options: RedisOptions, deps: RedisDeps) {
    this.#options = options
    this.#deps = deps
    this.#quiet = new Quiet(deps.clock)
    this.#client = connectRedis(options, error => {
      this.#hidden = error
    })
    this.#watch(this.#client)
    this.#messages = new RedisMessages(() => connectRedis(options), deps.clock)
  }

  get up(): boolean {
    return this.#isConnected && !this.#isResting && !this.#isDoubtful
  }

  get incarnation(): number {
    return this.#incarnation
  }

  get trouble(): string | undefined {
    return this.up ? undefined : this.#trouble
  }

  /** Resolves when it is connected, or is known not to be. */
  async settled(): Promise<void> {
    const done = new AbortController()
    const late = this.#deps.clock.sleep(firstMs, done.signal).catch(() => {}) // it settled before
    await Promise.race([this.#first.promise, late])
    done.abort()
    if (!this.up) this.#sayDown(this.#trouble ?? 'it does not answer')
  }

  async ask<T>(task: (client: RedisClient) => Promise<T>): Promise<T> {
    if (!this.#isConnected || this.#isResting || this.#isTried)
      throw new RedisDown(`Redis is down: ${this.#trouble ?? 'it does not answer'}`)
    this.#isTried = this.#isDoubtful
    try {
      const answer = await this.#inTime(task(this.#client))
      this.#sayUp()
      return answer
    } catch (error) {
      throw this.#failed(error)
    } finally {
      this.#isTried = false
    }
  }

  key(...parts: readonly string[]): string {
    return this.#options.prefix + parts.join(':')
  }

  async servers(): Promise<string> {
    if (!this.#isConnected) throw new RedisDown('Redis is down')
    const client = this.#client
    const nodes = client instanceof Cluster ? client.nodes('master') : [client]
    try {
      const ids = nodes.map(async node => runId(await node.info('server')))
      return (await this.#inTime(Promise.all(ids))).sort().join(' ')
    } catch (error) {
      throw new RedisDown('not every server answers', { cause: error }) // the others may all the same
    }
  }

  subscribe(channel: string, subscriber: Subscriber): Promise<() => void> {
    return this.#messages.subscribe(this.key(channel), subscriber)
  }

  async publish(channel: string, message: string): Promise<void> {
    await this.ask(client => client.publish(this.key(channel), message))
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#first.resolve()
    this.#messages.close()
    this.#client.disconnect()
  }

  get #isConnected(): boolean {
    return !this.#isClosed && this.#client.status === 'ready'
  }

  get #isResting(): boolean {
    return this.#deps.clock.monotonic() < this.#downUntil
  }

  async #inTime<T>(asked: Promise<T>): Promise<T> {
    asked.catch(() => {}) // told to who waits, unless it comes too late
    const answered = new AbortController()
    const late = this.#deps.clock.sleep(askMs, answered.signal).then(
      async () => {
        await setImmediate() // what came while this process was busy is not late
        throw new RedisDown(`Redis did not answer within ${askMs} ms`)
      },
      () => asked,
    )
    try {
      return await Promise.race([asked, late])
    } finally {
      answered.abort()
    }
  }

  #watch(client: RedisClient): void {
    client.on('ready', () => {
      this.#hidden = undefined
      this.#downUntil = 0
      this.#first.resolve()
      this.#sayUp()
    })
    client.on('error', (error: Error) => this.#noteTrouble(error))
    client.on('close', () => this.#lostConnection())
    if (!(client instanceof Cluster)) return
    client.on('+node', (node: Client) => {
      node.once('ready', () => node.on('close', () => this.#lostNode()))
    })
    client.on('node error', (error: Error) => this.#noteTrouble(error))
  }

  #lostNode(): void {
    this.#incarnation += 1
  }

  #lostConnection(): void {
    this.#incarnation += 1
    if (this.#isClosed) return
    this.#first.resolve()
    this.#sayDown(this.#trouble ?? 'the connection was closed')
  }

  #failed(error: unknown): Error {
    if (error instanceof RedisRefused) return error
    const { message, isRefusal } = readError(error, this.#hidden)
    if (isRefusal) {
      this.#sayUp()
      this.#sayRefused(message)
      return new RedisRefused(message, { cause: error })
    }
    this.#trouble = message
    this.#isDoubtful = true
    this.#downUntil = this.#deps.clock.monotonic() + downMs
    this.#sayDown(message)
    return error instanceof RedisDown ? error : new RedisDown(`Redis is down: ${message}`, { cause: error })
  }

  #noteTrouble(error: Error): void {
    this.#trouble = readError(error, this.#hidden).message
  }

  #sayDown(why: string): void {
    if (this.#saidDown || this.#isClosed) return
    this.#saidDown = true
    const redis = formatRedisAddress(this.#options.address)
    this.#deps.log.warn({ redis, why }, 'Redis is down: what is cached is served without it')
  }

  #sayRefused(why: string): void {
    const { log } = this.#deps
    const redis = formatRedisAddress(this.#options.address)
    const message = 'Redis refuses what it is asked to do: what it does not keep is read from the records'
    this.#quiet.say('refused', () => log.warn({ redis, why }, message))
  }

  #sayUp(): void {
    this.#trouble = undefined
    this.#isDoubtful = false
    if (!this.#saidDown) return
    this.#saidDown = false
    this.#deps.log.info({ redis: formatRedisAddress(this.#options.address) }, 'Redis answers again')
  }
}

/** What the client library tells, in words and with what it means. */
function readError(error: unknown, hidden: Error | undefined): { message: string; isRefusal: boolean } {
  if (!(error instanceof Error)) return { message: String(error), isRefusal: false }
  const { lastNodeError } = error as { lastNodeError?: Error }
  if (lastNodeError) return readError(lastNodeError, hidden)
  const isReply = error.name === 'ReplyError'
  return { message: wordsFor(error, hidden), isRefusal: isReply && !downReplies.test(error.message) }
}

function runId(info: string): string {
  return /^run_id:(\w+)/m.exec(info)?.[1] ?? ''
}
