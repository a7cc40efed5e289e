/** The keys of one issuer: written in the configuration, or fetched, renewed, and used on while the issuer is out. */
import type { Logger } from '../../observe/log.ts'
import { Quiet } from '../../observe/quiet.ts'
import type { Clock } from '../../runtime/clock.ts'
import { LoginUnavailable } from '../caller.ts'
import type { OidcOptions } from '../options.ts'
import { IssuerClient } from './issuer-client.ts'
import { type KeySet, KeySetInvalid, parseKeySet } from './key-set.ts'

const minuteMs = 60_000
/** Older ones are renewed, beside the logins. */
const refreshMs = 10 * minuteMs
/** Nobody has logged in for so long: a key may have been withdrawn meanwhile, so logins wait for the new ones. */
const restMs = 30 * minuteMs
/** So long an issuer that is out is trusted by what it last said. */
const maxAgeMs = 1440 * minuteMs
/** An unknown key is asked for so often at most, whoever makes them up. */
const forcedMs = minuteMs
/** A failed fetch is tried again after this; without keys sooner, since every login fails. */
const retryMs = minuteMs / 2
const retryWithoutKeysMs = 5_000

export interface Keys {
  /** @throws LoginUnavailable where there are none */
  current(): Promise<KeySet>
  /**
   * Newer ones than these, which lack a key; undefined: there are none, as far as may be asked.
   * @throws LoginUnavailable when the issuer cannot be asked
   */
  newerThan(known: KeySet): Promise<KeySet | undefined>
  close(): Promise<void>
}

export class StaticKeys implements Keys {
  readonly #set: KeySet

  /** @throws KeySetInvalid */
  constructor(text: string) {
    this.#set = parseKeySet(text)
  }

  async current(): Promise<KeySet> {
    return this.#set
  }

  async newerThan(): Promise<undefined> {}

  async close(): Promise<void> {}
}

interface Held {
  readonly set: KeySet
  readonly text: string
  /** When they were last got; monotonic milliseconds. */
  readonly at: number
}

interface Deps {
  readonly clock: Clock
  readonly log: Logger
}

export class FetchedKeys implements Keys {
  readonly #issuer: string
  readonly #client: IssuerClient
  readonly #clock: Clock
  readonly #log: Logger
  readonly #quiet: Quiet
  #held: Held | undefined
  /** Why the last fetch brought none, and when. */
  #failure: { readonly reason: string; readonly at: number } | undefined
  #running: Promise<void> | undefined
  #forcedAt = Number.NEGATIVE_INFINITY
  #isClosed = false

  /** @param before of the configuration before this one, whose keys are used on */
  constructor(
    options: Pick<OidcOptions, 'issuer' | 'jwksUrl' | 'ca'>,
    { clock, log }: Deps,
    before?: FetchedKeys,
  ) {
    this.#issuer = options.issuer
    this.#client = new IssuerClient(options, clock)
    this.#clock = clock
    this.#log = log
    this.#quiet = new Quiet(clock)
    if (before) this.#held = before.#held
  }

  async current(): Promise<KeySet> {
    const ageMs = this.#ageMs()
    const mustWait = ageMs > maxAgeMs || (ageMs > restMs && !this.#failure)
    if (ageMs > refreshMs && this.#mayAsk(ageMs)) {
      const renewed = this.#renew()
      if (mustWait) await renewed
    }
    if (this.#held && this.#ageMs() <= maxAgeMs) return this.#held.set
    throw this.#unavailable()
  }

  async newerThan(known: KeySet): Promise<KeySet | undefined> {
    // A fetch under way may have begun before the key was there: it does not count as asking.
    if (this.#held?.set === known) await this.#running
    if (this.#held?.set === known && this.#mayForce()) await this.#renew()
    if (this.#held && this.#held.set !== known) return this.#held.set
    if (this.#failure) throw this.#unavailable()
    return undefined
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#client.close()
    await this.#running
  }

  #ageMs(): number {
    return this.#held ? this.#clock.monotonic() - this.#held.at : Number.POSITIVE_INFINITY
  }

  #mayAsk(ageMs: number): boolean {
    if (this.#running || !this.#failure) return true
    const pauseMs = ageMs <= maxAgeMs ? retryMs : retryWithoutKeysMs
    return this.#clock.monotonic() - this.#failure.at >= pauseMs
  }

  /** True once a minute, and for all who come while that fetch is under way. */
  #mayForce(): boolean {
    if (this.#running) return true
    const now = this.#clock.monotonic()
    if (now - this.#forcedAt < forcedMs) return false
    this.#forcedAt = now
    return true
  }

  /** Never rejects. One fetch for all who ask at the same time. */
  #renew(): Promise<void> {
    this.#running ??= this.#fetch().finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  async #fetch(): Promise<void> {
    try {
      const text = await this.#client.fetchKeys()
      // The same object where nothing is new: whoever lacks a key sees that, and keys are not imported again.
      const set = text === this.#held?.text ? this.#held.set : parseKeySet(text)
      this.#held = { set, text, at: this.#clock.monotonic() }
      if (this.#failure) this.#log.info({ issuer: this.#issuer }, 'the keys of an OIDC issuer are got again')
      this.#failure = undefined
    } catch (error) {
      const reason = reasonOf(error)
      this.#failure = { reason, at: this.#clock.monotonic() }
      if (!this.#isClosed) this.#quiet.say('out', () => this.#tellOutage(reason))
    }
  }

  #tellOutage(reason: string): void {
    const effect =
      this.#ageMs() <= maxAgeMs ? 'those it had before are used on' : 'its tokens cannot be checked: 503'
    this.#log.warn({ issuer: this.#issuer, reason, effect }, 'the keys of an OIDC issuer cannot be got')
  }

  #unavailable(): LoginUnavailable {
    return new LoginUnavailable(`the keys of ${this.#issuer} cannot be got: ${this.#failure?.reason}`)
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof KeySetInvalid) return `what it sent is not ${error.message}`
  return error instanceof Error ? error.message : String(error)
}
