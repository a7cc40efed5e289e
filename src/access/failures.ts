/**
 * Limits on failed logins. An address has so many failures within a window, whoever it tries to be. A user whom many
 * addresses fail as is under attack: each address then has a few failures left, so that guessing is slow and the
 * user is not locked out. Where an address has logged in as the user lately, only its own failures as that user
 * count: neither strangers nor neighbours behind the same address can lock it out.
 */
import type { SharedCounts } from '../cluster/counts.ts'
import { RegistryError } from '../oci/errors.ts'
import type { Clock } from '../runtime/clock.ts'
import { networkOf } from './client-network.ts'
import type { LoginLimits } from './options.ts'
import { WindowCounts } from './window-counts.ts'

export interface Trying {
  /** Address of the client. */
  readonly client: string
  /** Who it claims to be; '': it does not say. */
  readonly user: string
}

export interface CountingDeps {
  readonly clock: Clock
  /** Undefined: this process is alone. */
  readonly shared?: SharedCounts | undefined
}

/** Of each address, as a user that is under attack. */
const failuresUnderAttack = 3
/** How long it is remembered that an address has logged in as a user: from one such time to two. */
const knownMs = 86_400_000

export class LoginFailures {
  readonly #deps: CountingDeps
  readonly #known: WindowCounts
  #limits: LoginLimits
  #addresses: WindowCounts
  #users: WindowCounts
  #pairs: WindowCounts

  constructor(limits: LoginLimits, deps: CountingDeps) {
    this.#deps = deps
    this.#limits = limits
    this.#known = new WindowCounts({ ...deps, name: 'known', windowMs: knownMs })
    this.#addresses = this.#counts('login-address')
    this.#users = this.#counts('login-user')
    this.#pairs = this.#counts('login-pair')
  }

  /**
   * Before anything is computed for it.
   *
   * @throws RegistryError TOOMANYREQUESTS
   */
  assertMayTry(who: Trying): void {
    const waitMs = this.#waitMs(who)
    if (waitMs === 0 && this.failuresOf(who.client) > 0) this.#addresses.ask(networkOf(who.client)) // others may know more
    if (waitMs === 0) return
    this.#known.ask(pairOf(who)) // it may have logged in at another process
    throw new RegistryError('TOOMANYREQUESTS', 'too many failed logins: try again later', {
      retryAfterMs: waitMs,
    })
  }

  failed(who: Trying): void {
    this.#pairs.add(pairOf(who))
    if (this.isKnown(who)) return
    this.#addresses.add(networkOf(who.client))
    if (who.user !== '') this.#users.add(who.user)
  }

  succeeded(who: Trying): void {
    if (!this.isKnown(who)) this.#known.add(pairOf(who))
  }

  /** Whether the address has logged in as the user lately. */
  isKnown(who: Trying): boolean {
    return this.#known.of(pairOf(who)) > 0
  }

  /** How often the address has failed lately, whoever it tried to be. */
  failuresOf(client: string): number {
    return this.#addresses.of(networkOf(client))
  }

  /** Another window begins with no failures. */
  update(limits: LoginLimits): void {
    const isSameWindow = limits.windowMs === this.#limits.windowMs
    this.#limits = limits
    if (isSameWindow) return
    for (const counts of [this.#addresses, this.#users, this.#pairs]) counts.close()
    this.#addresses = this.#counts('login-address')
    this.#users = this.#counts('login-user')
    this.#pairs = this.#counts('login-pair')
  }

  close(): void {
    for (const counts of [this.#known, this.#addresses, this.#users, this.#pairs]) counts.close()
  }

  #waitMs(who: Trying): number {
    const { perAddress, perUser } = this.#limits
    if (this.isKnown(who)) return waitMs(this.#pairs, pairOf(who), perAddress)
    const asAddress = waitMs(this.#addresses, networkOf(who.client), perAddress)
    const isUnderAttack = perUser > 0 && this.#users.of(who.user) >= perUser
    return isUnderAttack
      ? Math.max(asAddress, this.#pairs.waitMs(pairOf(who), failuresUnderAttack))
      : asAddress
  }

  #counts(name: string): WindowCounts {
    return new WindowCounts({ ...this.#deps, name, windowMs: this.#limits.windowMs })
  }
}

/** @param limit 0: none */
function waitMs(counts: WindowCounts, key: string, limit: number): number {
  return limit === 0 ? 0 : counts.waitMs(key, limit)
}

function pairOf({ client, user }: Trying): string {
  return `${networkOf(client)} ${user}`
}
