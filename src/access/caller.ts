/** Who asks, as far as was shown. Plain data: processes of ours hand it to each other. */

export interface Caller {
  readonly method: 'anonymous' | 'password' | 'oidc' | 'certificate'
  /** Of a password: the user's name; of an OIDC token: the claim that names it; of a certificate: its common name. '' for nobody. */
  readonly user: string
  /** The name that the configuration gives the issuer of an OIDC token; else ''. */
  readonly provider: string
  /** Of an OIDC token, as far as it was verified. */
  readonly claims: Readonly<Record<string, unknown>>
  /** Of the TLS connection, whatever else was shown; undefined: none that we trust. */
  readonly certificate: CertificateNames | undefined
}

/** What a client certificate says of its owner. */
export interface CertificateNames {
  readonly commonNames: readonly string[]
  readonly organizations: readonly string[]
  /** Of the subject alternative name. */
  readonly dns: readonly string[]
  readonly emails: readonly string[]
  readonly uris: readonly string[]
  /** Milliseconds since the epoch: what is given for it ends no later. */
  readonly endsAt?: number
}

export const anonymous: Caller = {
  method: 'anonymous',
  user: '',
  provider: '',
  claims: {},
  certificate: undefined,
}

/** In front of the name of who showed a certificate. No issuer is called so. */
export const certificatePrefix = 'certificate'

/**
 * For policies, logs and counts: `alice`, `github:org/app`, `certificate:node-1`; undefined for nobody. Whom one way of
 * logging in calls alice is never the alice of another: no user of a password has a colon in the name.
 */
export function nameOf({
  method,
  user,
  provider,
}: Pick<Caller, 'method' | 'user' | 'provider'>): string | undefined {
  if (user === '') return undefined
  if (method === 'certificate') return `${certificatePrefix}:${user}`
  return provider === '' ? user : `${provider}:${user}`
}

/** What was shown is wrong, expired or of nobody we know: 401 whatever is open to anonymous callers. */
export class LoginRefused extends Error {
  override readonly name = 'LoginRefused'
  /** Who it claimed to be, for the audit; '' where it does not say. */
  readonly user: string

  /** @param message why, for the log and the audit; a client is not told */
  constructor(message: string, { user = '', cause }: { user?: string; cause?: unknown } = {}) {
    super(message, cause === undefined ? undefined : { cause })
    this.user = user
  }
}

/** Whether it is right cannot be found out at the moment: 503, and never a refusal. */
export class LoginUnavailable extends Error {
  override readonly name = 'LoginUnavailable'
}
