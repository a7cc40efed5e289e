/** Limits on requests: so many a minute of an address, and of a user wherever it is. */
import type { CountingDeps, Trying } from './failures.ts'
import { networkOf } from './client-network.ts'
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

  /** Counts a request. Returns milliseconds to wait where there were too many: then this one is not counted. */
  take({ client, user }: Trying): number | undefined {
    const { perAddress, perUser } = this.#options
    const address = perAddress > 0 ? networkOf(client) : ''
    const name = perUser > 0 ? user : ''
    const wait = Math.max(
      address === '' ? 0 : this.#addresses.waitMs(address, perAddress),
      name === '' ? 0 : this.#users.waitMs(name, perUser),
    )
    if (wait > 0) return wait
    if (address !== '') this.#addresses.add(address)
    if (name !== '') this.#users.add(name)
    return undefined
  }

  update(options: RateOptions): void {
    this.#options = options
  }

  close(): void {
    this.#addresses.close()
    this.#users.close()
  }
}
