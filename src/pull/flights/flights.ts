/** The flights under way: at most one a digest, whoever asks. */
import type { Digest } from '../../oci/digest.ts'
import { Semaphore } from '../../stream/semaphore.ts'
import type { PullDeps } from '../deps.ts'
import { fill } from './fill.ts'
import { Flight } from './flight.ts'
import { Follower } from './follower.ts'
import type { Source } from './source.ts'

/** Readers that go on without a flight, because the disk failed or has no room, over all blobs: half of an upstream's `concurrency.fills` as it comes. */
const maxLone = 16

export interface FollowOptions {
  /** Bytes, as a manifest lists the blob. */
  expectedSize: number | undefined
  /** Bytes are wanted as they come, before the digest is known. */
  unverified: boolean
}

export class Flights {
  readonly #deps: PullDeps
  readonly #flights = new Map<Digest, { flight: Flight; ended: Promise<void> }>()
  readonly #lone = new Semaphore(maxLone)
  #stopping = false

  constructor(deps: PullDeps) {
    this.#deps = deps
  }

  find(digest: Digest): Flight | undefined {
    const flight = this.#flights.get(digest)?.flight
    return flight?.ending ? undefined : flight
  }

  /** Those under way, as they are at the moment. */
  get all(): readonly Flight[] {
    return [...this.#flights.values()].map(({ flight }) => flight)
  }

  /** Joins the flight of this digest, or starts it. */
  follow(digest: Digest, source: Source, { expectedSize, unverified }: FollowOptions): Follower {
    const flight = this.find(digest)
    if (flight) return new Follower(flight, source, { unverified, lone: this.#lone })
    const started = new Flight(digest, { metrics: this.#deps.metrics, unattended: false })
    const follower = new Follower(started, source, { unverified, lone: this.#lone })
    this.#run(started, source, expectedSize)
    return follower
  }

  /** For another replica. Undefined: there is none, and none is started. */
  join(digest: Digest): { flight: Flight; follower: Follower } | undefined {
    const flight = this.find(digest)
    if (!flight) return undefined
    return { flight, follower: new Follower(flight, undefined, { unverified: false, lone: this.#lone }) }
  }

  /** Fetches the blob although nobody waits for it. */
  fetch(digest: Digest, source: Source, expectedSize: number | undefined): void {
    if (this.#stopping || this.find(digest)) return
    const flight = new Flight(digest, { metrics: this.#deps.metrics, unattended: true })
    flight.enter(source)
    this.#run(flight, source, expectedSize)
    flight.leave()
  }

  /** Ends all flights, keeping what they have; resolves when everything behind the answers has ended. */
  async stop(): Promise<void> {
    this.#stopping = true
    for (const { flight } of this.#flights.values()) flight.stop(new Error('Layover is stopping'))
    await this.#deps.background.settled()
  }

  /** A flight that ends is still putting its bytes away: the next one waits, to go on from them. */
  #run(flight: Flight, source: Source, expectedSize: number | undefined): void {
    const { digest } = flight
    const { metrics, background } = this.#deps
    const before = this.#flights.get(digest)?.ended
    const ended = Promise.withResolvers<void>()
    const entry = { flight, ended: ended.promise }
    this.#flights.set(digest, entry)
    metrics.flights.inc({ upstream: source.name })
    background.run(async () => {
      await before
      await fill(this.#deps, flight, { owner: source.name, expectedSize })
      if (this.#flights.get(digest) === entry) this.#flights.delete(digest)
      flight.end()
      metrics.flights.dec({ upstream: source.name })
      ended.resolve()
    })
  }
}
