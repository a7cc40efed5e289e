/** What the claims of a token have to say beyond what jose checks. */
import type { JWTPayload } from 'jose'
import { LoginRefused } from '../caller.ts'
import type { OidcOptions } from '../options.ts'

/** The last second that a date can hold. */
const lastSecond = 8.64e12

/**
 * The claim that names the user.
 * @throws LoginRefused where it is missing, or no name
 */
export function userOf(claims: JWTPayload, claim: string): string {
  const user = textOf(own(claims, claim))
  // Control characters have no place in a name, and would have one in somebody's log.
  if (user === undefined || user === '' || /\p{Cc}/u.test(user))
    throw new LoginRefused(`the claim "${claim}" names no user`)
  return user
}

/** @throws LoginRefused for the first claim that is not as it has to be */
export function requireClaims(claims: JWTPayload, required: OidcOptions['claims']): void {
  const missing = Object.entries(required).find(([name, wanted]) => !hasOne(own(claims, name), wanted))
  if (missing) throw new LoginRefused(`the claim "${missing[0]}" is not as it has to be`)
}

/**
 * When the token ends: from then on it is refused, clocks that are apart included. Epoch milliseconds.
 * @throws LoginRefused for times that cannot be
 */
export function endOf(
  { exp, iat }: JWTPayload,
  { nowMs, skewMs }: { nowMs: number; skewMs: number },
): number {
  if (exp === undefined || !(exp >= 0 && exp <= lastSecond)) throw new LoginRefused('"exp" is no time')
  if (iat !== undefined && !(iat * 1000 <= nowMs + skewMs)) throw new LoginRefused('"iat" is in the future')
  const untilMs = exp * 1000 + skewMs
  if (untilMs <= nowMs) throw new LoginRefused('the token has expired')
  return untilMs
}

function hasOne(claim: unknown, wanted: string | readonly string[]): boolean {
  const given = (Array.isArray(claim) ? claim : [claim]).map(textOf)
  return [wanted].flat().some(value => given.includes(value))
}

/** Not inherited ones: a claim may be called `constructor`. */
function own(claims: JWTPayload, name: string): unknown {
  return Object.hasOwn(claims, name) ? claims[name] : undefined
}

/** Undefined also for whole numbers beyond 2^53, several of which have one text. */
function textOf(claim: unknown): string | undefined {
  if (typeof claim === 'string') return claim
  if (typeof claim === 'boolean') return String(claim)
  if (typeof claim !== 'number' || (Number.isInteger(claim) && !Number.isSafeInteger(claim))) return undefined
  return String(claim)
}
