/** Messages between replicas over Redis, on a connection of their own: a subscribed one takes no other commands. */
import type { Clock } from '../../runtime/clock.ts'
import { Signal } from '../../stream/signal.ts'
import type { RedisClient } from './client.ts'

export interface Subscriber {
  readonly heard: (message: string) => void
  /** Messages may have been missed: the connection broke, or is back. */
  readonly lost: () => void
}

/** How often the connection is tried: nobody else would notice that its other end is gone. */
const beatMs = 1000
/** How long a subscriber waits for the first connection. */
const connectMs = 2500

export class RedisMessages {
  readonly #connect: () => RedisClient
  readonly #clock: Clock
  readonly #subscribers = new Map<string, Set<Subscriber>>()
  readonly #closing = new AbortController()
  readonly #hears = new Signal()
  #client: RedisClient | undefined
  #isReady = false

  constructor(connect: () => RedisClient, clock: Clock) {
    this.#connect = connect
    this.#clock = clock
  }

  async subscribe(channel: string, subscriber: Subscriber): Promise<() => void> {
    const client = this.#opened()
    const known = this.#subscribers.get(channel)
    this.#subscribers.set(channel, (known ?? new Set()).add(subscriber))
    if (client.status !== 'ready') await this.#renewed()
    else if (!known) await this.#listen(client, channel)
    return () => this.#leave(channel, subscriber)
  }

  close(): void {
    this.#closing.abort()
    this.#client?.disconnect()
  }

  #opened(): RedisClient {
    if (this.#client) return this.#client
    const client = this.#connect()
    this.#client = client
    client.on('error', () => {}) // the connection for commands tells of what is wrong
    client.on('message', (channel: string, message: string) => {
      for (const { heard } of this.#subscribers.get(channel) ?? []) heard(message)
    })
    client.on('close', () => {
      if (this.#isReady) this.#tellLost()
      this.#isReady = false
    })
    client.on('ready', () => void this.#renew(client))
    void this.#beat(client)
    return client
  }

  /** Resolves when the connection is there and hears what it should, or takes too long. */
  async #renewed(): Promise<void> {
    const done = new AbortController()
    const late = this.#clock.sleep(connectMs, done.signal).catch(() => {}) // it came before
    await Promise.race([this.#hears.next(), late])
    done.abort()
  }

  async #renew(client: RedisClient): Promise<void> {
    for (const channel of this.#subscribers.keys()) await this.#listen(client, channel)
    this.#isReady = true
    this.#hears.fire()
    this.#tellLost() // the first time too: who waited for the connection may not have waited long enough
  }

  /** What fails now is made up for when the connection is back. */
  async #listen(client: RedisClient, channel: string): Promise<void> {
    await client.subscribe(channel).catch(() => client.disconnect(true))
  }

  #leave(channel: string, subscriber: Subscriber): void {
    const left = this.#subscribers.get(channel)
    left?.delete(subscriber)
    if (left?.size !== 0) return
    this.#subscribers.delete(channel)
    this.#client?.unsubscribe(channel).catch(() => {}) // a broken connection is subscribed to nothing
  }

  #tellLost(): void {
    for (const subscribers of this.#subscribers.values()) for (const { lost } of subscribers) lost()
  }

  async #beat(client: RedisClient): Promise<void> {
    const { signal } = this.#closing
    while (!signal.aborted) {
      await this.#clock.sleep(beatMs, signal).catch(() => {}) // the close ends the loop
      if (!signal.aborted && client.status === 'ready') client.ping().catch(() => {}) // a silent one is closed
    }
  }
}
