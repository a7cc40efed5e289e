/** This replica's part in the local names: their owner, or one that hands requests on to it; and what a write of theirs has to wait for. */
import { Election } from '../cluster/owner/election.ts'
import { Leaseholders } from '../cluster/owner/leaseholders.ts'
import {
  configuredOwnership,
  noOwnership,
  type Ownership,
  type Standing,
} from '../cluster/owner/ownership.ts'
import { Signatures } from '../cluster/peers/signature.ts'
import type { Config, ReplicaConfig } from '../config/config.ts'
import type { Answer } from '../edge/answer.ts'
import type { Exchange } from '../edge/exchange.ts'
import type { HotAnswers } from '../edge/memory/hot-answers.ts'
import type { HotPath } from '../edge/memory/hot-path.ts'
import { Leases } from '../edge/replicas/leases.ts'
import { Leasing } from '../edge/replicas/leasing.ts'
import { SharedLocalNames } from '../edge/replicas/local-names.ts'
import { OwnerForward } from '../edge/replicas/owner-forward.ts'
import type { Logger } from '../observe/log.ts'
import { RegistryError } from '../oci/errors.ts'
import type { Clock } from '../runtime/clock.ts'
import { localRegistry, type RepositoryKey } from '../store/layout.ts'
import type { Objects } from '../store/objects.ts'
import { assertElectable, assertKeepsTags } from './conditions.ts'

export interface ReplicaDeps {
  readonly clock: Clock
  readonly log: Logger
  readonly answers: HotAnswers
  readonly hotPath: HotPath
  /** What replicas share; undefined: each has a disk of its own. */
  readonly objects: Objects | undefined
  readonly publicPath: () => string
  readonly local: Config['local']
  /** Awaited before the first request of a term is answered. */
  readonly begun: () => Promise<void>
  /** What is open is put where the next owner finds it; what is not there at the signal stays here. Never rejects. */
  readonly putAway: (signal: AbortSignal) => Promise<void>
}

/** Requests, writes and the moving of uploads are waited for so long when this replica gives the local names up. */
const leavingMs = { answers: 3_000, writes: 10_000, uploads: 10_000, stepMs: 20 }

/** @throws StoreUnusable where the bucket cannot say who owns the local names, or keep their tags as they are */
export async function openReplica(config: ReplicaConfig, deps: ReplicaDeps): Promise<Replica> {
  const { objects, local } = deps
  if (objects) await assertKeepsTags(objects, local)
  if (config.owner === undefined && objects) await assertElectable(objects)
  if (config.owner === undefined && !objects && local.length > 0) deps.log.error(noOwnership.owner.because)
  return new Replica(config, deps)
}

export class Replica {
  readonly signatures: Signatures
  readonly ownership: Ownership
  readonly names: SharedLocalNames
  readonly #deps: ReplicaDeps
  readonly #leases: Leases
  readonly #leaseholders: Leaseholders
  readonly #leasing: Leasing
  readonly #forward: OwnerForward
  #writes = 0
  /** No write is begun any more. */
  #isClosed = false

  constructor({ advertise, secret, ca, owner }: ReplicaConfig, deps: ReplicaDeps) {
    const { clock, log, answers } = deps
    this.#deps = deps
    this.signatures = new Signatures({ secret, advertise, clock })
    const { signatures } = this
    this.#leaseholders = new Leaseholders(clock)
    this.ownership = this.#ownershipOf(owner, advertise)
    const { ownership } = this
    this.#leases = new Leases({ ownership, signatures, leaseholders: this.#leaseholders })
    this.#forward = new OwnerForward({ signatures, ca })
    this.#leasing = new Leasing({ ownership, forward: this.#forward, log, clock, remembered: answers })
    this.names = new SharedLocalNames({
      ...deps,
      ownership,
      forward: this.#forward,
      lease: () => this.#leasing.lease,
      silence: () => this.#leasing.silence,
    })
  }

  #ownershipOf(owner: string | undefined, advertise: string): Ownership {
    const { objects, clock } = this.#deps
    const leaving = () => this.#leave()
    if (owner !== undefined) return configuredOwnership(owner, advertise, { clock, leaving })
    if (!objects) return noOwnership
    return new Election({ ...this.#deps, objects, advertise, leaving, ended: () => {} })
  }

  /** What other replicas ask of the owner; undefined: it is about something else. */
  answer(exchange: Exchange): Promise<Answer> | undefined {
    return this.#leases.answer(exchange)
  }

  /**
   * The term in which records of local names may be written.
   *
   * @throws RegistryError UNAVAILABLE (503) when this replica does not own them
   */
  readonly owned = (): Standing => {
    const { term } = this.ownership
    if (term?.holds && !this.#isClosed) return term
    throw notOwner()
  }

  /** Of a write that has begun. @throws as `owned` */
  assertTerm(): void {
    if (!this.ownership.term?.holds) throw notOwner()
  }

  /** Resolves when no replica answers for the repository from memory any more. */
  async begin(key: RepositoryKey): Promise<void> {
    if (key.registry !== localRegistry) return
    this.#writes += 1
    await this.ownership.leasesEnded()
    await this.#leaseholders.begin(key)
  }

  end(key: RepositoryKey): void {
    if (key.registry !== localRegistry) return
    this.#writes -= 1
    this.#leaseholders.end(key)
  }

  /** @throws StoreUnusable where it needs a bucket of another kind; the caller goes on with what was */
  async assertTakes({ local }: Pick<Config, 'local'>): Promise<void> {
    const { objects } = this.#deps
    if (objects) await assertKeepsTags(objects, local)
  }

  /** Another replica takes over what is ours; from now on it is asked. Never rejects. */
  handOver(): Promise<void> {
    return this.ownership.handOver()
  }

  /** Never rejects. */
  async stop(): Promise<void> {
    await this.ownership.stop()
    await this.#leasing.stop()
    this.#forward.close()
  }

  /** What is under way ends first: a request that waits for its body must not keep everybody waiting. */
  async #leave(): Promise<void> {
    await this.#until(() => this.names.answering === 0, leavingMs.answers)
    this.#isClosed = true
    await this.#until(() => this.#writes === 0, leavingMs.writes)
    await this.#deps.putAway(AbortSignal.timeout(leavingMs.uploads))
    await this.#leaseholders.dismiss()
  }

  async #until(isSo: () => boolean, withinMs: number): Promise<void> {
    const { clock } = this.#deps
    const startedAt = clock.monotonic()
    while (!isSo() && clock.monotonic() - startedAt < withinMs) await clock.sleep(leavingMs.stepMs)
  }
}

function notOwner(): RegistryError {
  const message = 'this replica does not own the local names any more: try again'
  return new RegistryError('UNAVAILABLE', message, { retryAfterMs: 1_000 })
}
