/** Fills a flight from upstream: asks one source after the other, goes on where one broke, and stores what is right. */
import { algorithmOf } from '../../oci/digest.ts'
import type { Partial } from '../../store/partial.ts'
import type { Beginning } from '../../store/partials.ts'
import { type GrowingHash, openHash } from '../../stream/growing-hash.ts'
import type { BlobBody } from '../../upstream/upstream.ts'
import { UpstreamError } from '../../upstream/upstream-error.ts'
import type { PullDeps } from '../deps.ts'
import type { Flight } from './flight.ts'
import { Nearer, UpstreamsWord } from './nearer.ts'
import { receive } from './receive.ts'
import type { Source } from './source.ts'
import { StoreFailure } from './store-failure.ts'

/** Tries without progress. Before the first byte there is one more than one, since a pooled connection may be stale. */
const maxTries = { beforeFirstByte: 2, after: 4 }
const backOffMs = [0, 100, 1_000, 3_000]
/** Between two other replicas that gave nothing. */
const nearBackOffMs = 50

/**
 * Never rejects. Resolves when the blob is in the store, or the flight has failed and its bytes are put away.
 *
 * @param beginning the size as a manifest lists the blob; an upstream that announces something else is refused
 */
export async function fill(deps: PullDeps, flight: Flight, beginning: Beginning): Promise<void> {
  const { expectedSize } = beginning
  let partial: Partial
  try {
    partial = await deps.store.begin(flight.digest, beginning)
  } catch (cause) {
    if (expectedSize !== undefined) flight.announceSize(expectedSize) // headers go out before there is a place to read alone
    flight.fail(new StoreFailure('the store cannot take the blob', { cause }))
    return
  }
  flight.opened(partial.file)
  await new Fill(deps, { flight, partial, expectedSize }).run()
}

interface Filling {
  flight: Flight
  partial: Partial
  expectedSize: number | undefined
}

class Fill {
  readonly #deps: PullDeps
  readonly #flight: Flight
  readonly #partial: Partial
  readonly #expectedSize: number | undefined
  readonly #nearer: Nearer | undefined
  #isKept = false
  #isBorrowed = false

  constructor(deps: PullDeps, { flight, partial, expectedSize }: Filling) {
    this.#deps = deps
    this.#flight = flight
    this.#partial = partial
    this.#expectedSize = expectedSize
    this.#nearer = deps.replicas && new Nearer(deps.replicas, flight)
  }

  async run(): Promise<void> {
    try {
      const { file, written } = this.#partial
      const algorithm = algorithmOf(this.#flight.digest)
      using hash = openHash(algorithm, { file, from: written, expected: this.#expectedSize })
      const source = await this.#fetch(hash)
      await this.#verify(source, hash)
      await this.#commit(source)
    } catch (error) {
      await this.#giveUp(error)
    } finally {
      await this.#nearer?.end(this.#isKept)
    }
  }

  /** Resolves, when the bytes are all here, with the source that gave the last of them. */
  async #fetch(hash: GrowingHash): Promise<Source> {
    const partial = this.#partial
    this.#flight.advance(partial.written, [])
    for (let attempt = 0, fruitless = 0; ; attempt += 1) {
      const source = this.#flight.source()
      this.#isBorrowed = await this.#borrow(source, hash)
      if (this.#isBorrowed) return source
      if (this.#flight.source() !== source) continue
      const before = partial.written
      try {
        // The last try wants everything: some upstreams refuse ranges.
        const first = fruitless < maxTries.after - 1 ? before : 0
        await this.#receive(source, hash, { first, attempt })
        return source
      } catch (error) {
        if (isRefusal(error)) {
          this.#flight.refuse(source, error)
          continue
        }
        fruitless = partial.written > before ? 1 : fruitless + 1
        if (!this.#mayGoOn(error, fruitless)) throw error
        await this.#backOff(source, error, fruitless)
      }
    }
  }

  /** From other replicas, as far as they go. True: everything is here. Upstream's word rejects, unless it refuses the source. */
  async #borrow(source: Source, hash: GrowingHash): Promise<boolean> {
    const { stopping } = this.#flight
    for (let near = await this.#nearer?.next(source); near; near = await this.#nearer?.next(source)) {
      const before = this.#partial.written
      try {
        await this.#receive(near, hash, { first: before, attempt: 0 })
        return true
      } catch (error) {
        if (stopping.aborted || error instanceof StoreFailure) throw error
        if (error instanceof UpstreamsWord) {
          if (!isRefusal(error.cause)) throw error.cause
          this.#flight.refuse(source, error.cause)
          return false
        }
        const progressed = this.#partial.written > before
        this.#nearer?.failed(error, { progressed })
        if (!progressed) await this.#deps.clock.sleep(nearBackOffMs, stopping)
      }
    }
    return false
  }

  async #receive(source: Source, hash: GrowingHash, ask: { first: number; attempt: number }): Promise<void> {
    const { digest, stopping } = this.#flight
    const body = await source.open(digest, { ...ask, signal: stopping })
    try {
      await this.#take(source, body, hash)
    } catch (error) {
      if (error instanceof UpstreamError && !stopping.aborted) source.broke?.(error.failure)
      throw error
    }
  }

  async #take(source: Source, body: BlobBody, hash: GrowingHash): Promise<void> {
    const flight = this.#flight
    const partial = this.#partial
    try {
      this.#announce(source, body)
    } catch (error) {
      body.body.destroy()
      throw error
    }
    const { size } = flight
    const reserved = this.#reserve(size)
    const advanced = (chunks: readonly Buffer[]) => flight.advance(partial.written, chunks)
    await receive(body, { partial, reserved, hash, size, upstream: source.name, advanced })
    if (size === undefined || partial.written >= size) return
    const message = `${source.name} ended a blob after ${partial.written} of ${size} bytes`
    throw new UpstreamError(source.name, 'unreachable', message)
  }

  /** Upstream's headers: the size is known before anything goes out. */
  #announce({ name }: Source, { total, etag, anonymous }: BlobBody): void {
    const expected = this.#expectedSize ?? this.#flight.size
    if (expected !== undefined && total !== undefined && total !== expected) {
      const message = `${name} announced ${total} bytes for a blob of ${expected}`
      throw new UpstreamError(name, 'corrupt', message)
    }
    const size = total ?? expected
    this.#flight.isAnonymous = anonymous
    this.#partial.note = {
      ...(size === undefined ? {} : { total: size }),
      ...(etag === undefined ? {} : { etag }),
    }
    this.#flight.announceSize(size)
  }

  /** Nobody waits for it but the first byte's way to the disk: what has come by then would be lost with a connection that ends. */
  async #reserve(bytes: number | undefined): Promise<void> {
    try {
      if (bytes !== undefined) await this.#partial.reserve(bytes)
    } catch (cause) {
      throw new StoreFailure('the store has no room for the blob', { cause })
    }
  }

  async #verify(source: Source, hash: GrowingHash): Promise<void> {
    const { digest } = this.#flight
    const { name } = source
    if ((await hash.digest()) === digest) return this.#flight.announceVerified()
    source.wrong?.(digest)
    if (!this.#isBorrowed) source.broke?.('corrupt')
    this.#nearer?.lied()
    throw new UpstreamError(name, 'corrupt', `${name} sent bytes that do not have the digest ${digest}`)
  }

  /** The followers have their bytes already: what fails from here on only means that the blob is not kept. */
  async #commit(source: Source): Promise<void> {
    const { digest } = this.#flight
    try {
      await this.#deps.store.commit(this.#partial)
      this.#isKept = true
      await source.served(digest, {
        size: this.#partial.written,
        anonymous: this.#flight.isAnonymous,
        isBorrowed: this.#isBorrowed,
      })
    } catch (error) {
      this.#deps.log.error({ digest, err: error }, 'a fetched blob could not be stored')
    }
  }

  async #giveUp(error: unknown): Promise<void> {
    const { digest, stopping } = this.#flight
    this.#flight.fail(error instanceof Error ? error : new Error(String(error)))
    const sound = stopping.aborted || (error instanceof UpstreamError && error.failure !== 'corrupt')
    try {
      await (sound && this.#partial.written > 0 ? this.#partial.keep() : this.#partial.discard())
    } catch (cause) {
      this.#deps.log.error({ digest, err: cause }, 'a partial blob could not be put away')
    }
  }

  /** Another try, perhaps at another URL, may go on from where it broke. */
  #mayGoOn(error: unknown, fruitless: number): boolean {
    if (!(error instanceof UpstreamError) || this.#flight.stopping.aborted) return false
    const begun = this.#partial.written > 0
    if (fruitless >= (begun ? maxTries.after : maxTries.beforeFirstByte)) return false
    if (error.failure === 'timeout') return begun // no client waits for headers through two time-outs
    return ['unreachable', 'server-error', 'corrupt'].includes(error.failure)
  }

  async #backOff({ name }: Source, error: unknown, fruitless: number): Promise<void> {
    const { digest, stopping } = this.#flight
    const fields = { upstream: name, digest, received: this.#partial.written, err: error }
    this.#deps.log.warn(fields, 'a blob broke off: going on with it')
    await this.#deps.clock.sleep(backOffMs[fruitless] ?? 0, stopping)
  }
}

/** What upstream says of one repository or credential, and not of the bytes. */
function isRefusal(error: unknown): boolean {
  return error instanceof UpstreamError && error.personal
}
