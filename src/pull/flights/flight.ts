/**
 * One blob on its way here, for all who want it: how far it has come, and who waits for it. Followers read
 * the growing file up to the watermark and never beyond; whoever fills the file announces here what it has done.
 */
import type { Metrics } from '../../observe/metrics.ts'
import type { Digest } from '../../oci/digest.ts'
import type { SharedFile } from '../../store/files/file.ts'
import { type Lease, Recent } from '../../stream/recent.ts'
import { Signal } from '../../stream/signal.ts'
import type { Source } from './source.ts'

/** A flight that nobody follows any more goes on if it is this far, or if no more than this remains. */
const worthFinishing = { share: 0.25, remainingBytes: 64 * 1024 * 1024 }

/** Readers close behind get the bytes from memory. */
const recentBytes = 2 * 1024 * 1024

export interface FlightOptions {
  readonly metrics: Metrics
  /** Nobody has to follow it: it was set off by an answer that has ended. */
  readonly unattended: boolean
}

export class Flight {
  readonly digest: Digest
  /** Fired at every change of what can be seen of the flight. */
  readonly changed = new Signal()
  readonly #options: FlightOptions
  /** By scope. The first one is asked; a refused one gives way to the next. */
  readonly #sources = new Map<string, Source>()
  readonly #refusals = new Map<string, unknown>()
  readonly #stopping = new AbortController()
  readonly #recent = new Recent(recentBytes)
  /** Bytes of it came from another replica. */
  isBorrowed = false
  /** Upstream gave it without a credential of ours. */
  isAnonymous = false
  #file: SharedFile | undefined
  #size: number | undefined
  #sized = false
  #watermark = 0
  #verified = false
  #failure: Error | undefined
  #followers = 0
  #over = false

  constructor(digest: Digest, options: FlightOptions) {
    this.digest = digest
    this.#options = options
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

  /** Why no more bytes will come, to anybody. */
  get failure(): Error | undefined {
    return this.#failure
  }

  /** Nobody may join any more: it failed, or is being stopped. */
  get ending(): boolean {
    return this.#failure !== undefined || this.stopping.aborted
  }

  get stopping(): AbortSignal {
    return this.#stopping.signal
  }

  /** The growing file, open as long as somebody follows; undefined at the very start and when the disk gave none. */
  get file(): SharedFile | undefined {
    return this.#file
  }

  /** Bytes of the file that are still in memory, from the position on. */
  recent(position: number, count: number): Lease {
    return this.#recent.from(position, count)
  }

  /** Names of the upstreams that it may be asked of. */
  get upstreams(): readonly string[] {
    return [...new Set([...this.#sources.values()].map(({ name }) => name))]
  }

  /** Readers that wait for it. */
  get followers(): number {
    return this.#followers
  }

  /** Why this scope gets nothing of the flight, though others may. */
  refusal(scope: string): unknown {
    return this.#refusals.get(scope)
  }

  /** Whether a follower of this scope is known to be entitled to the bytes. */
  flies(scope: string): boolean {
    return this.#sources.has(scope)
  }

  /** @param source undefined: of another replica, which is entitled by its own means */
  enter(source: Source | undefined): void {
    this.#options.metrics.flightWaiters.inc()
    this.#followers += 1
    if (!source || this.#sources.has(source.scope)) return
    this.#sources.set(source.scope, source)
    this.#refusals.delete(source.scope) // upstream has changed its mind since
  }

  leave(): void {
    this.#options.metrics.flightWaiters.dec()
    this.#followers -= 1
    if (this.#followers > 0) return
    if (this.#over) this.#file?.release()
    else if (!this.#worthFinishing()) this.stop(new Error('nobody follows the flight any more'))
  }

  /** Ends the flight; what it has is kept for a later one. */
  stop(reason: Error): void {
    this.#stopping.abort(reason)
  }

  /** Whom to ask next. Throws the last refusal when everybody was refused, and the reason of a stop. */
  source(): Source {
    this.stopping.throwIfAborted()
    const next = this.#sources.values().next().value
    if (next) return next
    throw [...this.#refusals.values()].at(-1)
  }

  /** Ends the flight for one repository or credential only. */
  refuse({ scope }: Source, error: unknown): void {
    this.#refusals.set(scope, error)
    this.#sources.delete(scope)
    this.changed.fire()
  }

  /** The file that will grow. */
  opened(file: SharedFile): void {
    this.#file = file.retain()
  }

  announceSize(size: number | undefined): void {
    this.#size = size
    this.#sized = true
    this.changed.fire()
  }

  /** The file has so many bytes, the last of which are these chunks. Nobody else may use them any more. */
  advance(written: number, chunks: readonly Buffer[]): void {
    this.#recent.push(chunks, written)
    this.#watermark = written
    this.changed.fire()
  }

  /** All bytes have come, and their digest is right. */
  announceVerified(): void {
    this.#verified = true
    this.announceSize(this.#watermark)
  }

  fail(failure: Error): void {
    this.#failure = failure
    this.changed.fire()
  }

  /** From here on nobody may join. */
  end(): void {
    this.#over = true
    if (this.#followers === 0) this.#file?.release()
  }

  #worthFinishing(): boolean {
    if (this.#verified || this.#options.unattended) return true
    const size = this.#size ?? Number.POSITIVE_INFINITY
    return (
      this.#watermark >= size * worthFinishing.share ||
      size - this.#watermark <= worthFinishing.remainingBytes
    )
  }
}
