/** Requests between replicas are signed with the secret they share; the secret itself never travels. */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Clock } from '../../runtime/clock.ts'

/** Of a request between replicas: `v1 <milliseconds since the epoch> <nonce> <mac>`. */
export const signatureHeader = 'replica-signature'

/** How far the clocks of two replicas may be apart, the way of a request included. */
export const toleranceMs = 60_000

/** What a signature speaks for. */
export interface Signable {
  readonly method: string
  /** With its query, as it stands in the request line. */
  readonly path: string
  /** On whose behalf the request is made, and everything else about it that has to be believed; empty: the replica itself. */
  readonly speaksFor: string
}

export interface SignaturesOptions {
  /** Known to all replicas and to nobody else. */
  readonly secret: string
  /** Where we are reached: what was signed for another replica is not genuine here. */
  readonly advertise: string
  readonly clock: Clock
}

export class Signatures {
  readonly #secret: string
  readonly #advertise: string
  readonly #clock: Clock
  readonly #seen: Nonces

  constructor({ secret, advertise, clock }: SignaturesOptions) {
    this.#secret = secret
    this.#advertise = advertise
    this.#clock = clock
    this.#seen = new Nonces(clock)
  }

  /** The header's value, good for one request. @param to where the replica that is asked advertises itself */
  sign(to: string, request: Signable): string {
    const time = String(this.#clock.now())
    const nonce = randomBytes(12).toString('base64url')
    return `v1 ${time} ${nonce} ${this.#mac(to, time, nonce, request).toString('base64url')}`
  }

  /** Whether a replica of ours made this request for us, a moment ago and for the first time. */
  isGenuine(header: string | string[] | undefined, request: Signable): boolean {
    const [, time = '', nonce = '', told = ''] = form.exec(String(header)) ?? []
    if (told === '') return false
    const mac = Buffer.from(told, 'base64url')
    const ours = this.#mac(this.#advertise, time, nonce, request)
    if (mac.length !== ours.length || !timingSafeEqual(mac, ours)) return false
    if (Math.abs(this.#clock.now() - Number(time)) > toleranceMs) return false
    return this.#seen.add(nonce)
  }

  #mac(to: string, time: string, nonce: string, { method, path, speaksFor }: Signable): Buffer {
    const text = JSON.stringify([to, method, path, time, nonce, speaksFor])
    return createHmac('sha256', this.#secret).update(text).digest()
  }
}

const form = /^v1 (\d{1,15}) ([\w-]{16}) ([\w-]{43})$/

/** A nonce may come for as long as its time is within the tolerance on either side. */
const rememberedMs = 2 * toleranceMs

/** Those seen of late, in two generations. Only who knows the secret adds to them. */
class Nonces {
  readonly #clock: Clock
  #current = new Set<string>()
  #previous = new Set<string>()
  #since: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#since = clock.monotonic()
  }

  /** False: it was seen before. */
  add(nonce: string): boolean {
    this.#age()
    if (this.#current.has(nonce) || this.#previous.has(nonce)) return false
    this.#current.add(nonce)
    return true
  }

  #age(): void {
    const ageMs = this.#clock.monotonic() - this.#since
    if (ageMs <= rememberedMs) return
    this.#previous = ageMs > 2 * rememberedMs ? new Set() : this.#current
    this.#current = new Set()
    this.#since = this.#clock.monotonic()
  }
}
