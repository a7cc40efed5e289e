/** Quotas of local namespaces: what a push brings is reserved before it is taken, until the records say that it is held. */
import type { Held, Link } from '../index/local/links.ts'
import { idOf } from '../index/local/links.ts'
import type { Usage } from '../index/local/usage.ts'
import type { Logger } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import { RegistryError } from '../oci/errors.ts'
import type { LocalNamespace } from '../pull/target.ts'
import type { Clock } from '../runtime/clock.ts'
import { keyText, type RepositoryKey } from '../store/layout.ts'
import type { Background } from '../stream/background.ts'
import { Coalescer } from '../stream/coalesce.ts'
import { exceeded } from './quota-errors.ts'
import { Reservation } from './reservation.ts'

export interface QuotasDeps {
  readonly usage: Usage
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  readonly background: Background
}

type Limited = Pick<LocalNamespace, 'name' | 'quota'>

/** A push waits no longer for a count, which goes on. */
const patienceMs = 5_000
const retryAfterMs = 5_000

export class Quotas {
  readonly #deps: QuotasDeps
  /** By namespace: what is on its way. */
  readonly #reserved = new Map<string, Held>()
  /** Of open upload sessions, by their ids. */
  readonly #sessions = new Map<string, Reservation>()
  /** By what they are about to become. */
  readonly #becoming = new Map<string, Reservation[]>()
  #counting = new Coalescer<void>()
  #findSessions = async () => {}

  constructor(deps: QuotasDeps) {
    this.#deps = deps
    deps.usage.onGain((key, link, measure) => this.#became(key, link, measure))
  }

  /** @param find calls `found` for every open session that an earlier process left */
  countSessionsBy(find: () => Promise<void>): void {
    this.#findSessions = find
  }

  /**
   * Resolves when it is known how much the namespace holds.
   *
   * @throws RegistryError UNAVAILABLE (503) when that takes longer than a request waits
   */
  async ready({ name, quota }: Limited): Promise<void> {
    const { usage, background } = this.#deps
    if (!quota) return
    if (!usage.known(name)) return this.#wait(this.#count(name))
    if (usage.isDoubtful(name)) background.run(() => this.#count(name))
  }

  /** For who is about to take them, and will reserve them. @throws RegistryError DENIED (403) */
  assertRoom(namespace: Limited, bytes: number): void {
    this.#assertRoom(namespace, nothing, { bytes, tags: 0 })
  }

  /** @throws RegistryError DENIED (403) where there is no room for it */
  reserve(namespace: Limited, amount: Held): Reservation {
    const reservation = this.#begin(namespace.name)
    reservation.resize(amount, () => this.#assertRoom(namespace, reservation.amount, amount))
    return reservation
  }

  /**
   * What was let in goes on while it is counted anew how much there is.
   *
   * @throws RegistryError DENIED (403) where there is no room for more than it had; then it stays as it was
   */
  resize(namespace: Limited, reservation: Reservation, amount: Held): void {
    reservation.resize(amount, () => {
      if (this.used(namespace.name)) this.#assertRoom(namespace, reservation.amount, amount)
    })
  }

  /** Whether a blob adds anything is certain within the locks of its write alone; undefined where nothing limits it. */
  certain(
    namespace: Limited,
    reservation: Reservation | undefined,
    bytes: number,
  ): ((isHeld: boolean) => void) | undefined {
    if (!namespace.quota || !reservation) return undefined
    return isHeld => this.resize(namespace, reservation, { bytes: isHeld ? 0 : bytes, tags: 0 })
  }

  /** Bytes of an open session, from now on until `endSession`; undefined where nothing limits them. */
  session({ name, quota }: Limited, id: string): Reservation | undefined {
    if (!quota) return undefined
    const known = this.#sessions.get(id) ?? this.#begin(name)
    this.#sessions.set(id, known)
    return known
  }

  /** A session that was there before. */
  found(namespace: Limited, id: string, bytes: number): void {
    if (this.#sessions.has(id)) return
    this.session(namespace, id)?.resize({ bytes, tags: 0 })
  }

  endSession(id: string): void {
    this.#sessions.get(id)?.release()
    this.#sessions.delete(id)
  }

  /** Forgets the sessions that are not open any more. */
  keepSessions(isOpen: (id: string) => boolean): void {
    for (const id of this.#sessions.keys()) if (!isOpen(id)) this.endSession(id)
  }

  /** What the reservation is for is about to be written; whatever gets there first makes it smaller. */
  async becoming<T>(
    reservation: Reservation | undefined,
    { key, links }: { key: RepositoryKey; links: readonly Link[] },
    write: () => Promise<T>,
  ): Promise<T> {
    if (!reservation) return write()
    const ids = links.map(link => becomingId(key, link))
    for (const id of ids) this.#becoming.set(id, [...(this.#becoming.get(id) ?? []), reservation])
    try {
      return await write()
    } finally {
      for (const id of ids) this.#leave(id, reservation)
    }
  }

  /** All is counted anew when it is needed: somebody else wrote, or names belong to other namespaces now. */
  forget(): void {
    this.#deps.usage.forget()
    this.#counting = new Coalescer()
    this.keepSessions(() => false)
  }

  /** Ends what mistakes there may be. Never rejects. */
  async recount(): Promise<void> {
    const { usage, log } = this.#deps
    for (const name of usage.namespaces)
      await this.#count(name).catch((error: unknown) =>
        log.error({ err: error, namespace: name }, 'what a namespace holds could not be counted again'),
      )
  }

  /** Puts the limits into the metrics, and what is used as far as it is known. */
  measure(namespaces: readonly Limited[]): void {
    const { quotaBytes, quotaBytesUsed, quotaTags, quotaTagsUsed } = this.#deps.metrics
    for (const gauge of [quotaBytes, quotaBytesUsed, quotaTags, quotaTagsUsed]) gauge.reset()
    for (const { name: namespace, quota } of namespaces) {
      if (quota?.bytes !== undefined) quotaBytes.set({ namespace }, quota.bytes)
      if (quota?.tags !== undefined) quotaTags.set({ namespace }, quota.tags)
      const used = quota && this.used(namespace)
      if (!used) continue
      quotaBytesUsed.set({ namespace }, used.bytes)
      quotaTagsUsed.set({ namespace }, used.tags)
    }
  }

  /** By the namespace's name, with what is on its way. Undefined: not counted yet. */
  used(name: string): Readonly<Held> | undefined {
    const held = this.#deps.usage.known(name)
    const reserved = this.#reserved.get(name) ?? { bytes: 0, tags: 0 }
    return held && { bytes: held.bytes + reserved.bytes, tags: held.tags + reserved.tags }
  }

  #begin(name: string): Reservation {
    const sum = this.#reserved.get(name) ?? { bytes: 0, tags: 0 }
    this.#reserved.set(name, sum)
    return new Reservation(sum)
  }

  #assertRoom(namespace: Limited, had: Held, amount: Held): void {
    const { name, quota } = namespace
    if (!quota) return
    const used = this.used(name)
    if (!used) throw counting()
    for (const what of ['bytes', 'tags'] as const) {
      const limit = quota[what]
      const more = amount[what] - had[what]
      if (limit === undefined || more <= 0 || used[what] + more <= limit) continue
      throw exceeded({ namespace: name, what, used: used[what], limit, more })
    }
  }

  #became(key: RepositoryKey, link: Link, measure: number): void {
    const [reservation] = this.#becoming.get(becomingId(key, link)) ?? []
    if (!reservation) return
    const { bytes, tags } = reservation.amount
    if (link.kind === 'tag') reservation.resize({ bytes, tags: Math.max(0, tags - measure) })
    else reservation.resize({ bytes: Math.max(0, bytes - measure), tags })
  }

  #leave(id: string, reservation: Reservation): void {
    const others = (this.#becoming.get(id) ?? []).filter(other => other !== reservation)
    if (others.length > 0) this.#becoming.set(id, others)
    else this.#becoming.delete(id)
  }

  #count(name: string): Promise<void> {
    return this.#counting.run(name, async () => {
      await this.#findSessions()
      await this.#deps.usage.count(name)
    }).result
  }

  async #wait(counted: Promise<void>): Promise<void> {
    const { clock, log } = this.#deps
    const over = new AbortController()
    const late = clock.sleep(patienceMs, over.signal).then(() => {
      counted.catch((error: unknown) =>
        log.error({ err: error }, 'what a namespace holds could not be counted'),
      )
      throw counting()
    })
    late.catch(() => {}) // over before
    try {
      await Promise.race([counted, late])
    } finally {
      over.abort()
    }
  }
}

const nothing: Held = { bytes: 0, tags: 0 }

function becomingId(key: RepositoryKey, link: Link): string {
  return `${keyText(key)} ${idOf(link)}`
}

function counting(): RegistryError {
  const message = 'what the namespace holds is being counted for its quota: try again'
  return new RegistryError('UNAVAILABLE', message, { retryAfterMs })
}
