/** Where a flight's bytes may be had before upstream is asked: from the replica that is fetching them, or one that has them. */
import type { Claim } from '../../cluster/claims.ts'
import { Following } from '../../cluster/peers/following.ts'
import { PeerError } from '../../cluster/peers/peer-error.ts'
import type { Replicas } from '../../cluster/replicas.ts'
import type { Digest } from '../../oci/digest.ts'
import type { BlobBody } from '../../upstream/upstream.ts'
import { UpstreamError } from '../../upstream/upstream-error.ts'
import type { Flight } from './flight.ts'
import type { Source } from './source.ts'

/** A replica that is there and says nothing is waited for as long as its upstream may take. */
const limits = { maxFailures: 6, patienceMs: 25_000 }

/** What upstream said, to us or to the replica that asks it for us: its cause. No other replica can change it. */
export class UpstreamsWord extends Error {
  override readonly name = 'UpstreamsWord'
}

/** Of one flight, as long as it is filled. */
export class Nearer {
  readonly #replicas: Replicas
  readonly #flight: Flight
  #claim: Claim | undefined
  readonly #following = new Following(limits)
  #current: string | undefined
  /** Gave some of the bytes. */
  readonly #givers = new Set<string>()
  /** How often it was looked who has the blob: after the first, whoever fetched it lately is asked like the others. */
  #looked = 0
  /** The last look found only who was said to have it. */
  #wasTold = false

  constructor(replicas: Replicas, flight: Flight) {
    this.#replicas = replicas
    this.#flight = flight
  }

  /**
   * The source to try in front of upstream, for the same scope; undefined: it is for us to ask upstream. It rejects with
   * a PeerError, or with UpstreamsWord.
   */
  async next(source: Source): Promise<Source | undefined> {
    const peer = this.#following.isOver ? undefined : await this.#peer(source)
    this.#current = peer?.url
    return peer && this.#lent(peer, source)
  }

  /** The source of `next` broke. */
  failed(error: unknown, { progressed }: { progressed: boolean }): void {
    const peer = this.#current
    if (peer !== undefined && error instanceof UpstreamError && error.failure === 'corrupt')
      this.#replicas.peers.distrust(peer)
    if (error instanceof PeerError) this.#replicas.complain(error)
    this.#following.failed(error, { progressed })
  }

  /** The bytes are wrong, whoever gave them. */
  lied(): void {
    for (const peer of this.#givers) this.#replicas.peers.distrust(peer)
  }

  /** Others may claim it. @param isKept it is here */
  async end(isKept: boolean): Promise<void> {
    await this.#claim?.release(isKept)
  }

  async #peer({ isShared = false }: Source): Promise<Peer | undefined> {
    const { digest } = this.#flight
    if (!this.#claim) {
      const found = await this.#replicas.claim(`blob ${digest}`, this.#following.takeDead())
      if (found && !found.isOurs) {
        this.#following.follow(found)
        const { holder: url } = found
        return this.#replicas.peers.trusts(url) ? { url, isWhole: false } : undefined
      }
      this.#claim = found
    }
    const doneBy = this.#looked === 0 ? this.#claim?.doneBy : undefined
    if (isShared && !this.#replicas.stillThere(doneBy)) return undefined
    if (this.#looked > 0 && !this.#wasTold) return undefined
    this.#looked += 1
    this.#wasTold = doneBy !== undefined
    const url = await this.#replicas.holderOf(digest, doneBy)
    return url === undefined ? undefined : { url, isWhole: true }
  }

  #lent(peer: Peer, source: Source): Source {
    return {
      scope: source.scope,
      name: source.name,
      open: (digest, ask) => this.#open(peer, source, { digest, ...ask }),
      confirm: digest => source.confirm(digest),
      served: (...told) => source.served(...told),
    }
  }

  /** Bytes of another replica are for those whom their upstream would give them as well. */
  async #open({ url, isWhole }: Peer, source: Source, { digest, first, signal }: Opening): Promise<BlobBody> {
    const { scope } = source
    try {
      const found = await this.#replicas.peers.openBlob(url, digest, { first, scope, isWhole, signal })
      try {
        const anonymous = found.isEntitled ? found.anonymous : (await source.confirm(digest)).isPublic
        this.#givers.add(url)
        this.#flight.isBorrowed = true
        return { ...found, anonymous }
      } catch (error) {
        found.body.destroy()
        throw error
      }
    } catch (cause) {
      throw cause instanceof UpstreamError ? new UpstreamsWord(cause.message, { cause }) : cause
    }
  }
}

interface Peer {
  readonly url: string
  /** It has the whole; else it is fetching it. */
  readonly isWhole: boolean
}

type Opening = Parameters<Source['open']>[1] & { readonly digest: Digest }
