/** Passwords that callers bring: a wrong one is tried once, and few for each user, since registries lock accounts. */
import type { Clock } from '../../runtime/clock.ts'
import { latest } from '../../runtime/latest.ts'
import { failureOf, type Subject } from '../transport/failure.ts'
import { UpstreamError } from '../upstream-error.ts'
import type { Applicant } from './callers.ts'

/** Docker Hub locks an account for about as long after a few wrong passwords. */
const refusedMs = 10 * 60_000
/** Of one user and from one client address, within this time. */
const mostRefused = 3
const maxKept = 10_000
/** Others of the same user are being tried: they are soon known. */
const retryAfterMs = 1_000

/** Of one password: when it may be tried again; undefined while it is being tried. */
type Tries = Map<string, number | undefined>

export class Logins {
  readonly #clock: Clock
  /** Fingerprints, until when they are not tried. */
  readonly #refused = latest<string, number>(maxKept)
  /** Fingerprints that upstream took. */
  readonly #taken = latest<string, true>(maxKept)
  readonly #tries = latest<string, Tries>(maxKept)

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** @throws UpstreamError credential-refused or rate-limited without running the task */
  async try<T>(applicant: Applicant, subject: Subject, task: () => Promise<T>): Promise<T> {
    const { fingerprint } = applicant
    if (this.#clock.monotonic() < (this.#refused.get(fingerprint) ?? 0)) throw refused(subject)
    const tries = this.#taken.has(fingerprint) ? undefined : this.#triesOf(applicant)
    if (tries && !tries.has(fingerprint)) this.#begin(tries, applicant, subject)
    try {
      return await task()
    } catch (error) {
      if (isWrongPassword(error)) this.#refuse(applicant)
      throw error
    } finally {
      if (tries && tries.get(fingerprint) === undefined) tries.delete(fingerprint)
    }
  }

  /** Upstream gave something for it: what anybody is given proves nothing. */
  took({ fingerprint }: Applicant): void {
    this.#taken.set(fingerprint, true)
  }

  #begin(tries: Tries, { fingerprint }: Applicant, subject: Subject): void {
    const now = this.#clock.monotonic()
    for (const [other, until] of tries) if (until !== undefined && until <= now) tries.delete(other)
    if (tries.size >= mostRefused)
      throw [...tries.values()].includes(undefined) ? wait(subject) : spent(subject)
    tries.set(fingerprint, undefined)
  }

  #refuse(applicant: Applicant): void {
    const until = this.#clock.monotonic() + refusedMs
    this.#taken.delete(applicant.fingerprint)
    this.#refused.set(applicant.fingerprint, until)
    this.#triesOf(applicant).set(applicant.fingerprint, until)
  }

  #triesOf({ user }: Applicant): Tries {
    const tries = this.#tries.get(user) ?? new Map()
    this.#tries.set(user, tries)
    return tries
  }
}

function isWrongPassword(error: unknown): boolean {
  return error instanceof UpstreamError && error.failure === 'credential-refused'
}

function refused(subject: Subject): UpstreamError {
  const message = `${subject.upstream} refused this password a while ago: it is not tried again for ${minutes}`
  return failureOf(subject, 'credential-refused', message, { upstreamStatus: 401 })
}

function spent(subject: Subject): UpstreamError {
  const message = `${subject.upstream} refused ${mostRefused} passwords for this user: no other is tried for ${minutes}`
  return failureOf(subject, 'credential-refused', message, { upstreamStatus: 401 })
}

function wait(subject: Subject): UpstreamError {
  const message = `other passwords for this user are being tried at ${subject.upstream}: try again`
  return failureOf(subject, 'rate-limited', message, { retryAfterMs })
}

const minutes = `${refusedMs / 60_000} minutes`
