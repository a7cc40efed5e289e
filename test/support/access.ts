/** Access for tests: users with cheap hashes, and everything else as it comes. */
import { hashSync } from 'bcryptjs'
import type { AccessOptions, OidcOptions, PolicyOptions } from '../../src/access/options.ts'

export const password = 'correct horse'
const stored = hashSync(password, 4)
const minute = 60_000

/** Alice may do everything, mallory has logged in and may do nothing. */
export const aliceAlone: PolicyOptions = {
  default: 'deny',
  rules: [{ name: 'alice', when: 'user == "alice"' }],
}

/** As `access.users` of a configuration has them, each with the one password. */
export function usersNamed(...names: readonly string[]) {
  return names.map(name => ({ name, password: stored }))
}

export function accessOptions(options: Partial<AccessOptions> = {}): AccessOptions {
  return {
    users: ['alice', 'mallory'].map(name => ({ name, hash: stored })),
    oidc: [],
    policy: aliceAlone,
    webhook: undefined,
    challenge: 'bearer',
    tokens: { keys: [], lifeMs: 5 * minute, refreshMs: 60 * minute },
    logins: { perAddress: 1_000_000, perUser: 1_000_000, windowMs: 5 * minute },
    rates: { perAddress: 0, perUser: 0 },
    health: 'everyone',
    metrics: 'everyone',
    ...options,
  }
}

export function basic(user: string, secret = password): string {
  return `Basic ${Buffer.from(`${user}:${secret}`).toString('base64')}`
}

/** Of a test issuer, called `ci`, for tokens whose audience is `layover`. */
export function issuerOptions({ url }: { readonly url: string }): OidcOptions {
  return {
    name: 'ci',
    issuer: url,
    audience: ['layover'],
    jwks: undefined,
    jwksUrl: undefined,
    claims: {},
    userClaim: 'sub',
    algorithms: ['ES256'],
    skewMs: minute,
    ca: undefined,
  }
}

/** Each allows. */
export function rules(...given: readonly string[]): PolicyOptions {
  return { default: 'deny', rules: given.map(when => ({ name: undefined, when })) }
}
