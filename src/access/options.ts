/** How access is configured. Plain data, secrets resolved; times in milliseconds. */

export interface AccessOptions {
  /** Users of the configuration and of the htpasswd file. */
  readonly users: readonly UserOptions[]
  readonly oidc: readonly OidcOptions[]
  readonly policy: PolicyOptions
  readonly webhook: WebhookOptions | undefined
  /** `basic`: Docker, which knows the challenge of the ping alone, pulls nothing without a password. */
  readonly challenge: 'bearer' | 'basic'
  readonly tokens: TokenOptions
  readonly logins: LoginLimits
  readonly rates: RateOptions
  /** `everyone`, or whom the policy lets. */
  readonly health: 'everyone' | 'policy'
  readonly metrics: 'everyone' | 'policy'
}

export interface UserOptions {
  readonly name: string
  /** PHC string of argon2id, or bcrypt (`$2a$`, `$2b$`, `$2y$`). */
  readonly hash: string
}

export interface OidcOptions {
  /** Also the user name under which its tokens come as Basic passwords. */
  readonly name: string
  /** `iss`, exactly. */
  readonly issuer: string
  /** One of these must be in `aud`. */
  readonly audience: readonly string[]
  /** Text of a key set; undefined: found by discovery or at `jwksUrl`. */
  readonly jwks: string | undefined
  readonly jwksUrl: string | undefined
  /** Claims that a token must have; a list: one of these. */
  readonly claims: Readonly<Record<string, string | readonly string[]>>
  /** The claim that names the user. */
  readonly userClaim: string
  readonly algorithms: readonly string[]
  /** How far clocks may be apart. */
  readonly skewMs: number
  /** PEM; undefined: what Node trusts. */
  readonly ca: string | undefined
}

/** With `deny` each rule allows, with `allow` each rule denies; what fails denies. */
export interface PolicyOptions {
  readonly default: 'allow' | 'deny'
  readonly rules: readonly RuleOptions[]
}

export interface RuleOptions {
  /** For logs and explanations; undefined: the expression itself. */
  readonly name: string | undefined
  /** CEL, of type bool. */
  readonly when: string
}

/** Asked as the Open Policy Agent is: `{"input": …}`, answered by `{"result": …}`. */
export interface WebhookOptions {
  readonly url: string
  /** Bearer token. */
  readonly token: string | undefined
  readonly timeoutMs: number
  /** How long an answer is remembered. */
  readonly allowMs: number
  readonly denyMs: number
  readonly ca: string | undefined
}

export interface TokenOptions {
  /** PEM of Ed25519 or P-256 private keys: the first signs, all of them verify. Empty: one is made and kept. */
  readonly keys: readonly string[]
  readonly lifeMs: number
  readonly refreshMs: number
}

/** After so many failures within a window, the next are refused unseen; 0: no limit. */
export interface LoginLimits {
  readonly perAddress: number
  /** Over all addresses: after that each has a few left, so that strangers lock nobody out. */
  readonly perUser: number
  readonly windowMs: number
}

/** Requests a minute; 0: no limit. */
export interface RateOptions {
  readonly perAddress: number
  readonly perUser: number
}
