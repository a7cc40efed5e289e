/** Limits on requests: so many a minute of an address, and of a user wherever it is. */

import { networkOf } from './client-network.ts'
import type { CountingDeps, Trying } from './failures.ts'
import type { RateOptions } from './options.ts'
import { WindowCounts } from './window-counts.ts'

const minuteMs = 60_000

export class Rates {
  readonly #addresses: WindowCounts
  readonly #users: WindowCounts
  #options: RateOptions

  constructor(options: RateOptions, deps: CountingDeps) {
    this.#options = options
    this.#addresses = new WindowCounts({ ...deps, name: 'rate-address', windowMs: minuteMs })
    this.#users = new WindowCounts({ ...deps, name: 'rate-user', windowMs: minuteMs })
  }

  /** Whether there is a limit that depends on who asks. */
  get limitsUsers(): boolean {
    return this.#options.perUser > 0
  }

  /** Counts a request. Returns milliseconds to wait where there were too many: then this one is not counted. */
  take(who: Trying): number | undefined {
    const wait = this.waitMs(who)
    if (wait > 0) return wait
    this.add(who)
    return undefined
  }

  /** Milliseconds until there are not too many; 0: there are not. */
  waitMs({ client, user }: Trying): number {
    const { perAddress, perUser } = this.#options
    return Math.max(
      perAddress === 0 || client === '' ? 0 : this.#addresses.waitMs(networkOf(client), perAddress),
      perUser === 0 || user === '' ? 0 : this.#users.waitMs(user, perUser),
    )
  }

  add({ client, user }: Trying): void {
    const { perAddress, perUser } = this.#options
    if (perAddress > 0 && client !== '') this.#addresses.add(networkOf(client))
    if (perUser > 0 && user !== '') this.#users.add(user)
  }

  update(options: RateOptions): void {
    this.#options = options
  }

  close(): void {
    this.#addresses.close()
    this.#users.close()
  }
}
