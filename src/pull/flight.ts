/**
 * One blob on its way here, for all who want it (DESIGN §3). The flight belongs to none of its followers: it writes the
 * growing file and announces how far it got; they read the file up to there.
 */
import { algorithmOf, type Digest } from '../oci/digest.ts'
import type { SharedFile } from '../store/file.ts'
import type { Partial } from '../store/partial.ts'
import { Recent } from '../stream/recent.ts'
import { Signal } from '../stream/signal.ts'
import { UpstreamError } from '../upstream/upstream-error.ts'
import { type FlightHash, openFlightHash } from './flight-hash.ts'
import type { PullDeps } from './pull.ts'
import { receive } from './receive.ts'
import type { Source } from './source.ts'
import { StoreFailure } from './store-failure.ts'

/** A flight that nobody follows any more goes on if it is this far, or if no more than this remains. */
const worthFinishing = { share: 0.25, remainingBytes: 64 * 1024 * 1024 }

/** Tries without progress in between. Before the first byte one more is made, since a pooled connection may be stale. */
const maxTries = { beforeFirstByte: 2, after: 4 }
const backOffMs = [0, 100, 1_000, 3_000]

/** Readers close behind get the bytes from memory. */
const recentBytes = 2 * 1024 * 1024

export class Flight {
  readonly digest: Digest
  /** Fired at every change of the fields below. */
  readonly changed = new Signal()
  readonly #deps: PullDeps
  readonly #expectedSize: number | undefined
  /** By scope. The first one is asked; a refused one gives way to the next. */
  readonly #sources = new Map<string, Source>()
  readonly #refusals = new Map<string, unknown>()
  readonly #stopping = new AbortController()
  readonly #recent = new Recent(recentBytes)
  #file: SharedFile | undefined
  #size: number | undefined
  #sized = false
  #watermark = 0
  #verified = false
  #failure: Error | undefined
  #anonymous = false
  #followers = 0
  #over = false
  readonly #unattended: boolean

  /** @param expectedSize bytes, as a manifest lists it; an upstream that announces something else is refused */
  constructor(deps: PullDeps, digest: Digest, { expectedSize, unattended = false }: FlightOptions) {
    this.#deps = deps
    this.digest = digest
    this.#expectedSize = expectedSize
    this.#unattended = unattended
  }

  /** Bytes of the whole; undefined while unknown, or when upstream does not say before the end. */
  get size(): number | undefined {
    return this.#size
  }

  /** Upstream has answered: `size` is as known as it gets before the end. */
  get sized(): boolean {
    return this.#sized
  }

  /** Bytes in the file. */
  get watermark(): number {
    return this.#watermark
  }

  /** All bytes are here and have the right digest. */
  get verified(): boolean {
    return this.#verified
  }

  /** Nobody may join any more: it failed, or is being stopped. */
  get ending(): boolean {
    return this.#failure !== undefined || this.#stopping.signal.aborted
  }

  /** Why no more bytes will come, to anybody. */
  get failure(): Error | undefined {
    return this.#failure
  }

  /** The growing file, open as long as somebody follows; undefined at the very start and when the disk gave none. */
  get file(): SharedFile | undefined {
    return this.#file
  }

  /** Bytes of the file that are still in memory, from the position on. */
  recent(position: number): Buffer | undefined {
    return this.#recent.at(position)
  }

  /** Why this scope gets nothing of the flight, though others may. */
  refusal(scope: string): unknown {
    return this.#refusals.get(scope)
  }

  flies(scope: string): boolean {
    return this.#sources.has(scope)
  }

  enter(source: Source): void {
    this.#deps.metrics.flightWaiters.inc()
    this.#followers += 1
    if (this.#sources.has(source.scope)) return
    this.#sources.set(source.scope, source)
    this.#refusals.delete(source.scope) // upstream has changed its mind since
  }

  leave(): void {
    this.#deps.metrics.flightWaiters.dec()
    this.#followers -= 1
    if (this.#followers > 0) return
    if (this.#over) this.#file?.release()
    else if (!this.#worthFinishing()) this.stop(new Error('nobody follows the flight any more'))
  }

  /** Ends the flight; what it has is kept for a later one. */
  stop(reason: Error): void {
    this.#stopping.abort(reason)
  }

  /**
   * Never rejects. Resolves when the blob is in the store, or the flight is over without.
   *
   * @param over told in the very moment from which on nobody may join
   */
  async run(over: () => void): Promise<void> {
    const partial = await this.#begin()
    if (partial) await this.#fly(partial)
    over()
    this.#over = true
    if (this.#followers === 0) this.#file?.release()
  }

  async #fly(partial: Partial): Promise<void> {
    try {
      using hash = openFlightHash(algorithmOf(this.digest), partial)
      const source = await this.#fill(partial, hash)
      await this.#verify(source, { partial, hash })
      await this.#commit(partial, source)
    } catch (error) {
      await this.#giveUp(partial, error)
    }
  }

  async #begin(): Promise<Partial | undefined> {
    try {
      const partial = await this.#deps.store.begin(this.digest)
      this.#file = partial.file.retain()
      return partial
    } catch (cause) {
      this.#fail(new StoreFailure('the store cannot take the blob', { cause }))
      return undefined
    }
  }

  /** Asks one source after the other until the bytes are all there; resolves with the one that gave the last of them. */
  async #fill(partial: Partial, hash: FlightHash): Promise<Source> {
    this.#advance(partial.written, [])
    for (let attempt = 0, fruitless = 0; ; attempt += 1) {
      const source = this.#source()
      const before = partial.written
      try {
        const first = fruitless < maxTries.after - 1 ? partial.written : 0
        await this.#receive(source, { partial, hash, attempt, first })
        return source
      } catch (error) {
        if (this.#refuse(source, error)) continue
        fruitless = partial.written > before ? 1 : fruitless + 1
        const tries = partial.written > 0 ? maxTries.after : maxTries.beforeFirstByte
        if (!mayPass(error, partial.written) || fruitless >= tries || this.#stopping.signal.aborted)
          throw error
        this.#deps.log.warn(
          { upstream: source.name, digest: this.digest, received: partial.written, err: error },
          'resuming a blob',
        )
        await this.#deps.clock.sleep(backOffMs[fruitless] ?? 0, this.#stopping.signal)
      }
    }
  }

  async #receive(source: Source, { partial, hash, attempt, first }: Receiving): Promise<void> {
    const { signal } = this.#stopping
    // A partial that only lacks its digest asks for its last byte again: upstream would refuse a range from the end.
    const whole = partial.note.total === first && first > 0
    const body = await source.open(this.digest, { first: whole ? first - 1 : first, attempt, signal })
    try {
      this.#announce(source, partial, body)
    } catch (error) {
      body.body.destroy()
      throw error
    }
    const size = this.#size
    const advanced = (batch: readonly Buffer[]) => this.#advance(partial.written, batch)
    await receive(body, { partial, hash, size, upstream: source.name, advanced })
    if (size !== undefined && partial.written < size) {
      throw new UpstreamError(
        source.name,
        'unreachable',
        `${source.name} ended a blob after ${partial.written} of ${size} bytes`,
      )
    }
  }

  /** Upstream's headers: the size is known before anything goes out. */
  #announce(source: Source, partial: Partial, { total, etag, anonymous }: Announcement): void {
    const expected = this.#expectedSize ?? this.#size
    if (expected !== undefined && total !== undefined && total !== expected) {
      throw new UpstreamError(
        source.name,
        'corrupt',
        `${source.name} announced ${total} bytes for a blob of ${expected}`,
      )
    }
    this.#anonymous = anonymous
    this.#size = total ?? expected
    this.#sized = true
    partial.note = {
      ...(this.#size === undefined ? {} : { total: this.#size }),
      ...(etag === undefined ? {} : { etag }),
    }
    this.changed.fire()
  }

  async #verify({ name }: Source, { partial, hash }: Omit<Receiving, 'attempt' | 'first'>): Promise<void> {
    if ((await hash.digest()) !== this.digest) {
      throw new UpstreamError(
        name,
        'corrupt',
        `${name} sent bytes that do not have the digest ${this.digest}`,
      )
    }
    this.#size = partial.written
    this.#sized = true
    this.#verified = true
    this.changed.fire()
  }

  /** The followers have their bytes already: what fails from here on only means that the blob is not kept. */
  async #commit(partial: Partial, source: Source): Promise<void> {
    try {
      await this.#deps.store.commit(partial)
      await source.served(this.digest, partial.written, this.#anonymous)
    } catch (error) {
      this.#deps.log.error({ digest: this.digest, err: error }, 'a fetched blob could not be stored')
    }
  }

  async #giveUp(partial: Partial, error: unknown): Promise<void> {
    this.#fail(error instanceof Error ? error : new Error(String(error)))
    const resumable = this.#stopping.signal.aborted || speaksOfTheWay(error)
    try {
      await (resumable && partial.written > 0 ? partial.keep() : partial.discard())
    } catch (cause) {
      this.#deps.log.error({ digest: this.digest, err: cause }, 'a partial blob could not be put away')
    }
  }

  #source(): Source {
    this.#stopping.signal.throwIfAborted()
    const next = this.#sources.values().next().value
    if (next) return next
    const [last] = [...this.#refusals.values()].slice(-1)
    throw last
  }

  /** A refusal of one repository or credential ends the flight for that one only. */
  #refuse(source: Source, error: unknown): boolean {
    if (!(error instanceof UpstreamError) || !error.personal) return false
    this.#refusals.set(source.scope, error)
    this.#sources.delete(source.scope)
    this.changed.fire()
    return true
  }

  #advance(written: number, batch: readonly Buffer[]): void {
    this.#recent.push(batch, written)
    this.#watermark = written
    this.changed.fire()
  }

  #fail(failure: Error): void {
    this.#failure = failure
    this.changed.fire()
  }

  #worthFinishing(): boolean {
    if (this.#verified || this.#unattended) return true
    const size = this.#size ?? Number.POSITIVE_INFINITY
    return (
      this.#watermark >= size * worthFinishing.share ||
      size - this.#watermark <= worthFinishing.remainingBytes
    )
  }
}

export interface FlightOptions {
  expectedSize: number | undefined
  /** Nobody has to follow it: it was set off by an answer that has ended. */
  unattended?: boolean
}

interface Receiving {
  partial: Partial
  hash: FlightHash
  attempt: number
  /** Where to ask from: the last try wants everything, since some upstreams refuse ranges. */
  first: number
}

interface Announcement {
  total: number | undefined
  etag: string | undefined
  anonymous: boolean
}

/** Another try, perhaps at another URL, may go on from where it broke. No client waits for headers through two time-outs. */
function mayPass(error: unknown, written: number): boolean {
  if (!(error instanceof UpstreamError)) return false
  if (error.failure === 'timeout') return written > 0
  return ['unreachable', 'server-error', 'corrupt'].includes(error.failure)
}

/** The bytes that came are not in doubt, only how to get the others. */
function speaksOfTheWay(error: unknown): boolean {
  return error instanceof UpstreamError && error.failure !== 'corrupt' && !error.personal
}
