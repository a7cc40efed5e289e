/**
 * Who asks an upstream with a credential of his own (`access: passthrough`). A password is kept no longer than the
 * request that brought it, with the bytes that it set off; from then on it is known by a keyed hash.
 */
import { createHmac, randomBytes } from 'node:crypto'
import { failureOf, type Subject } from '../transport/failure.ts'
import { UpstreamError, type UpstreamFailure } from '../upstream-error.ts'

/** As a client sent it. */
export interface Login {
  readonly username: string
  readonly password: string
  /** Address of the client. */
  readonly client: string
}

/** A login that may be tried, without its password. */
export interface Applicant {
  readonly fingerprint: string
  /** A user as one client address names it. */
  readonly user: string
}

/** Of this process alone: without it nobody can try passwords on what is remembered. */
const key = randomBytes(32)

export function keyedHash(...parts: readonly string[]): string {
  return createHmac('sha256', key).update(JSON.stringify(parts)).digest('hex').slice(0, 32)
}

export function applicantOf({ username, password, client }: Login): Applicant {
  return { fingerprint: keyedHash(username, password), user: keyedHash(username, client) }
}

const refusals: ReadonlySet<UpstreamFailure> = new Set(['hidden', 'denied', 'credential-refused'])

/** What upstream said of a caller or his credential is neither "there is nothing" nor a fault of ours. */
export function forCaller(error: unknown, { kind, ...about }: Subject): unknown {
  if (!(error instanceof UpstreamError) || !refusals.has(error.failure)) return error
  const { upstreamStatus } = error
  const message = `${about.upstream} does not give this to who asks: ${error.message}`
  const status = upstreamStatus === undefined ? {} : { upstreamStatus }
  return failureOf({ kind, ...about }, 'caller-refused', message, { ...status, cause: error })
}
