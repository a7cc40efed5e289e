/** Short ranges of blobs that are not here: straight from upstream, so that a lazy reader need not wait for the whole. */
import type { Digest } from '../oci/digest.ts'
import { type ByteRange, type RangeSpec, resolveRange } from '../oci/range.ts'
import { Semaphore } from '../stream/semaphore.ts'
import type { BlobBody } from '../upstream/upstream.ts'
import type { PullDeps } from './deps.ts'
import type { Flights } from './flights/flights.ts'
import type { Source } from './flights/source.ts'
import type { Target } from './target.ts'

/** A longer range waits for the whole blob's flight. */
const maxForwardedBytes = 4 * 1024 * 1024
/** Forwarded ranges of one blob at once. */
const maxForwarded = 2

/** One range on its way from upstream, not kept. */
export interface Forwarded {
  readonly range: ByteRange
  readonly relay: Relay
}

export interface Relay {
  readonly body: BlobBody['body']
  /** To be called when the answer has ended. */
  close(): void
}

export class Forwards {
  readonly #deps: PullDeps
  readonly #flights: Flights
  readonly #sourceOf: (target: Target) => Source
  readonly #slots = new Map<Digest, Semaphore>()

  constructor(deps: PullDeps, flights: Flights, sourceOf: (target: Target) => Source) {
    this.#deps = deps
    this.#flights = flights
    this.#sourceOf = sourceOf
  }

  /**
   * Undefined where a flight does better: it is as far already, the range is long, others are being forwarded, or
   * upstream knows no ranges. The whole blob is fetched once the answer has ended.
   *
   * @param size bytes of the whole blob
   */
  async open(
    target: Target,
    digest: Digest,
    { spec, size }: { spec: RangeSpec; size: number },
  ): Promise<Forwarded | undefined> {
    const range = resolveRange(spec, size)
    if (!range || range.last - range.first >= maxForwardedBytes) return undefined
    if (range.last < (this.#flights.find(digest)?.watermark ?? 0)) return undefined
    const release = this.#slot(digest)
    if (!release) return undefined
    try {
      const answer = await target.upstream.openBlob(target.repository, digest, { range })
      if (answer.first === range.first && answer.total === size) {
        return { range, relay: this.#relay(target, digest, { answer, size, release }) }
      }
      answer.body.destroy()
      release()
      return undefined
    } catch (error) {
      release()
      throw error
    }
  }

  #relay(target: Target, digest: Digest, { answer, size, release }: Relaying): Relay {
    const close = () => {
      answer.body.destroy()
      release()
      this.#deps.background.run(() => this.#fetchBehind(target, digest, size))
    }
    return { body: answer.body, close }
  }

  /** The whole blob, for who asks next, unless it came here while the range was being relayed. */
  async #fetchBehind(target: Target, digest: Digest, size: number): Promise<void> {
    if ((await this.#deps.store.sizeHere(digest)) === size) return
    this.#flights.fetch(digest, this.#sourceOf(target), size)
  }

  #slot(digest: Digest): (() => void) | undefined {
    const slots = this.#slots.get(digest) ?? new Semaphore(maxForwarded)
    this.#slots.set(digest, slots)
    const release = slots.tryAcquire()
    if (!release) return undefined
    return () => {
      release()
      if (slots.idle) this.#slots.delete(digest)
    }
  }
}

interface Relaying {
  answer: BlobBody
  size: number
  release: () => void
}
