/** What other replicas are given: what is here or on its way here. Nothing is fetched for them but answers to questions. */
import type { Digest } from '../oci/digest.ts'
import type { Reference } from '../oci/reference.ts'
import type { Bytes } from '../stream/bytes.ts'
import type { FetchedManifest, ManifestHead } from '../upstream/upstream.ts'
import { UpstreamError } from '../upstream/upstream-error.ts'
import type { PullDeps } from './deps.ts'
import type { Flights } from './flights/flights.ts'
import type { ManifestQuestions } from './manifests/manifest-questions.ts'
import type { Target } from './target.ts'

export interface LentBlob {
  /** Bytes of the whole; undefined: not known before the end. */
  readonly size: number | undefined
  readonly bytes: Bytes
  /** They came without a credential of ours. */
  readonly isAnonymous: boolean
  /** Upstream gave them for the scope that was asked with. */
  readonly isEntitled: boolean
}

export class Lent {
  readonly #deps: PullDeps
  readonly #flights: Flights
  readonly #questions: Pick<ManifestQuestions, 'lend' | 'lendHead' | 'arriving'>

  constructor(
    deps: PullDeps,
    flights: Flights,
    questions: Pick<ManifestQuestions, 'lend' | 'lendHead' | 'arriving'>,
  ) {
    this.#deps = deps
    this.#flights = flights
    this.#questions = questions
  }

  /** Bytes of a whole blob that is here. */
  async size(digest: Digest): Promise<number | undefined> {
    return this.#questions.arriving(digest)?.length ?? this.#deps.store.size(digest)
  }

  /** Undefined: it is neither here nor on its way. Rejects with upstream's word on this scope, as it came to us. */
  async blob(digest: Digest, scope: string): Promise<LentBlob | undefined> {
    return (
      (await this.whole(digest)) ?? (await this.#flying(digest, scope)) ?? (await this.whole(digest)) // the flight ended meanwhile
    )
  }

  manifest(target: Target, reference: Reference): Promise<FetchedManifest> {
    return this.#questions.lend(target, reference)
  }

  manifestHead(target: Target, reference: Reference): Promise<ManifestHead> {
    return this.#questions.lendHead(target, reference)
  }

  /** As `blob`, of one that is not on its way. */
  async whole(digest: Digest): Promise<LentBlob | undefined> {
    const arriving = this.#questions.arriving(digest)
    if (arriving)
      return { size: arriving.length, bytes: bytesIn(arriving), isAnonymous: false, isEntitled: false }
    const stored = await this.#deps.store.open(digest)
    if (!stored) return undefined
    const { size, file } = stored
    const bytes: Bytes = {
      read: (target, position) => file.readFrom(position, target),
      close: () => file.release(),
    }
    return { size, bytes, isAnonymous: false, isEntitled: false }
  }

  /** Of a flight that fails for another scope nothing is told: this one's upstream may say something else. */
  async #flying(digest: Digest, scope: string): Promise<LentBlob | undefined> {
    const joined = this.#flights.join(digest)
    if (!joined) return undefined
    const { flight, follower } = joined
    const isAsked = flight.flies(scope)
    try {
      const size = await follower.size()
      // Without the file: a server process that could not read it would ask again, and a signature is good only once.
      const bytes: Bytes = {
        read: (target, position) => follower.read(target, position),
        close: () => follower.close(),
      }
      return { size, bytes, isAnonymous: flight.isAnonymous, isEntitled: flight.flies(scope) }
    } catch (error) {
      follower.close()
      if (isAsked && error instanceof UpstreamError) throw error
      return undefined
    }
  }
}

function bytesIn(buffer: Buffer): Bytes {
  return {
    async read(target, position) {
      const count = buffer.copy(target, 0, position)
      return count > 0 ? [target.subarray(0, count)] : []
    },
    close: () => {},
  }
}
