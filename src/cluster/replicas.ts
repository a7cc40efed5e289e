/** This replica among the others: what they do for each other instead of asking upstream twice. */
import type { Logger } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import { Quiet } from '../observe/quiet.ts'
import type { Digest } from '../oci/digest.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Lookup } from '../runtime/lookup.ts'
import { type Claim, Claims, type Standing } from './claims.ts'
import { Pauses } from './pauses.ts'
import { Following } from './peers/following.ts'
import type { MemberSite } from './peers/member-site.ts'
import { Members } from './peers/members.ts'
import { PeerError } from './peers/peer-error.ts'
import { Peers } from './peers/peers.ts'
import { Signatures } from './peers/signature.ts'
import type { Redis } from './redis/redis.ts'

export interface ReplicasOptions {
  /** Origin at which the others reach us. */
  readonly advertise: string
  /** The same for all. */
  readonly secret: string
  /** PEM; undefined: what Node trusts. */
  readonly ca: string | undefined
}

export interface ReplicasDeps {
  readonly redis: Redis
  readonly clock: Clock
  readonly lookup: Lookup
  readonly log: Logger
  readonly metrics: Metrics
  /** As far as it is known by now. */
  readonly site: () => MemberSite
}

/** How often the same other replica is asked that has given no answer. */
const maxFailures = 2

export class Replicas {
  readonly signatures: Signatures
  readonly peers: Peers
  readonly members: Members
  readonly pauses: Pauses
  readonly #claims: Claims
  readonly #advertise: string
  readonly #log: Logger
  readonly #quiet: Quiet

  constructor(
    { advertise, secret, ca }: ReplicasOptions,
    { redis, clock, lookup, log, metrics, site }: ReplicasDeps,
  ) {
    this.#advertise = advertise
    this.#log = log
    this.#quiet = new Quiet(clock)
    this.signatures = new Signatures({ secret, advertise, clock })
    this.peers = new Peers({ signatures: this.signatures, ca, clock, lookup, log, metrics })
    this.members = new Members({ redis, advertise, site, clock, log })
    this.pauses = new Pauses(redis, clock)
    this.#claims = new Claims({ redis, advertise, clock })
  }

  /** Resolves when the others know of us, or Redis is down. */
  async start(): Promise<void> {
    await Promise.all([this.members.start(), this.pauses.start()])
  }

  /** The others ask us for nothing new. */
  leave(): Promise<void> {
    return this.members.stop()
  }

  async close(): Promise<void> {
    this.#claims.stop()
    this.pauses.stop()
    await this.peers.close()
  }

  /**
   * Ours, or whose; undefined: Redis does not say. A claim of ours that stands from before a restart is taken anew.
   *
   * @param dead as for `Claims.take`
   */
  async claim(subject: string, dead?: Standing): Promise<Claim | Standing | undefined> {
    const found = await this.#claims.take(subject, dead)
    if (!found || found.isOurs || found.holder !== this.#advertise) return found
    return this.#claims.take(subject, found)
  }

  /**
   * A replica that has the whole blob on its disk, as far as anybody knows. Never rejects.
   *
   * @param doneBy has fetched it lately
   */
  async holderOf(digest: Digest, doneBy?: string): Promise<string | undefined> {
    return this.stillThere(doneBy) ?? this.peers.holderOf(digest, this.members.others)
  }

  /** The one that has fetched something lately, unless it is gone or gives wrong bytes. */
  stillThere(doneBy: string | undefined): string | undefined {
    return doneBy !== undefined && this.members.others.includes(doneBy) && this.peers.trusts(doneBy)
      ? doneBy
      : undefined
  }

  /**
   * The answer to a question that one replica asks for all of them.
   *
   * @param here asks it ourselves: as the one who does so, or because nobody else can; told who did so lately
   * @param there has the replica asked that does. Rejects with a PeerError where its answer is not to be had
   */
  async once<T>(subject: string, question: Once<T>): Promise<T> {
    const { here } = question
    const following = new Following({ maxFailures, patienceMs: question.patienceMs })
    while (!following.isOver) {
      const found = await this.claim(subject, following.takeDead())
      if (!found) return here()
      if (found.isOurs) return this.#claimed(found, here)
      following.follow(found)
      const given = await this.#given(found, question)
      if ('value' in given) return given.value
      following.failed(given.failure)
    }
    return here()
  }

  async #claimed<T>(claim: Claim, task: Once<T>['here']): Promise<T> {
    let isDone = false
    try {
      const result = await task(claim.doneBy)
      isDone = true
      return result
    } finally {
      await claim.release(isDone)
    }
  }

  async #given<T>({ holder }: Standing, { there }: Once<T>): Promise<{ value: T } | { failure: PeerError }> {
    try {
      if (this.peers.trusts(holder)) return { value: await there(holder) }
      return { failure: new PeerError('refused', `${holder} gave wrong bytes lately`) }
    } catch (error) {
      if (!(error instanceof PeerError)) throw error
      this.complain(error)
      return { failure: error }
    }
  }

  /** What an operator can do something about, once a minute. */
  complain(error: PeerError): void {
    if (error.failure !== 'refused') return
    this.#quiet.say('refused', () => this.#log.warn({ err: error }, 'another replica does not answer us'))
  }
}

export interface Once<T> {
  readonly here: (doneBy?: string) => Promise<T>
  readonly there: (holder: string) => Promise<T>
  /** How long a replica is waited for that is there and says nothing. */
  readonly patienceMs: number
}
