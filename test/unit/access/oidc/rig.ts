/** Issuers as they are configured, with a clock and a log to look at. */
import { expect } from 'vitest'
import { LoginRefused, LoginUnavailable } from '../../../../src/access/caller.ts'
import { Issuers } from '../../../../src/access/oidc/issuers.ts'
import { signatureAlgorithms } from '../../../../src/access/oidc/key-set.ts'
import type { OidcOptions } from '../../../../src/access/options.ts'
import { createLogger } from '../../../../src/observe/log.ts'
import { FakeClock } from '../../../fake/clock.ts'
import { issuerOptions } from '../../../support/access.ts'
import { type IssuerOptions, startIssuer, type TestIssuer } from '../../../support/issuer.ts'

export const skewMs = 60_000

export function entryOf(at: { url: string }, differences: Partial<OidcOptions> = {}): OidcOptions {
  return { ...issuerOptions(at), algorithms: signatureAlgorithms, skewMs, ...differences }
}

export interface Rig extends AsyncDisposable {
  readonly issuer: TestIssuer
  readonly clock: FakeClock
  readonly issuers: Issuers
  /** Messages of the log. */
  readonly lines: string[]
}

export async function startRig(
  differences: Partial<OidcOptions> = {},
  options: IssuerOptions = {},
): Promise<Rig> {
  const clock = new FakeClock()
  const issuer = await startIssuer({ clock, ...options })
  const lines: string[] = []
  const log = createLogger('debug', { write: line => void lines.push(line) })
  const issuers = new Issuers([entryOf(issuer, differences)], { clock, log })
  return {
    issuer,
    clock,
    issuers,
    lines,
    async [Symbol.asyncDispose]() {
      await issuers.close()
      await issuer[Symbol.asyncDispose]()
    },
  }
}

/** Why; anything but a refusal fails the test. */
export async function refusal(login: Promise<unknown>): Promise<string> {
  const error = await failure(login)
  expect(error).toBeInstanceOf(LoginRefused)
  return error.message
}

export async function unavailability(login: Promise<unknown>): Promise<string> {
  const error = await failure(login)
  expect(error).toBeInstanceOf(LoginUnavailable)
  return error.message
}

export async function failure(login: Promise<unknown>): Promise<Error> {
  return await login.then(
    () => new Error('the token was accepted'),
    (error: Error) => error,
  )
}
