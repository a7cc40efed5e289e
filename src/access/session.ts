/** Who was let in, remembered for as long as that holds: a login is found out once, and not at each request. */
import { hash, randomBytes } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { anonymous, type Caller, type CertificateNames } from './caller.ts'
import { networkOf } from './client-network.ts'
import type { Scope } from './tokens/scope.ts'

/** What a request shows of its sender. */
export interface Shown {
  /** The header as it came; undefined: none, or it is meant for somebody else. */
  readonly authorization: string | undefined
  readonly certificate: CertificateNames | undefined
  /** Address; '' once it is gone. */
  readonly client: string
}

/** Plain data: the process that finds it out tells others. */
export interface Session {
  readonly caller: Caller
  /** What its registry token is limited to; undefined: nothing limits it. */
  readonly access?: readonly Scope[] | undefined
  /** Milliseconds since the epoch. */
  readonly until: number
}

const forEver = Number.POSITIVE_INFINITY
const nobody: Session = { caller: anonymous, until: forEver }
const maxSessions = 20_000
/** Characters of the credentials behind them: claims take as much memory, a few times over. */
const maxShown = 32 * 1024 * 1024

/** Keyed by a digest under a secret of this process: credentials are not kept. */
export class Sessions {
  readonly #secret = randomBytes(32).toString('base64url')
  readonly #known = new LRUCache<string, Session>({ max: maxSessions, maxSize: maxShown })
  readonly #certified = new WeakMap<CertificateNames, Session>()

  /** Undefined: it has to be found out. */
  find(shown: Shown, now: number): Session | undefined {
    if (shown.authorization === undefined) return this.#bare(shown.certificate)
    const session = this.#known.get(this.#keyOf(shown))
    return session && now < session.until ? session : undefined
  }

  keep(shown: Shown, session: Session): void {
    const { authorization } = shown
    if (authorization === undefined) return
    this.#known.set(this.#keyOf(shown), session, { size: authorization.length + 1 })
  }

  /** Who shows nothing but what the connection does. */
  #bare(certificate: CertificateNames | undefined): Session {
    if (!certificate) return nobody
    const known = this.#certified.get(certificate)
    if (known) return known
    const session = { caller: certified(certificate), until: certificate.endsAt ?? forEver }
    this.#certified.set(certificate, session)
    return session
  }

  /** A password is one thing where it was found right, and a guess from anywhere else. */
  #keyOf({ authorization = '', certificate, client }: Shown): string {
    const from = /^basic\s/i.test(authorization) ? networkOf(client) : ''
    const names = certificate === undefined ? '' : JSON.stringify(certificate)
    return hash('sha256', `${this.#secret}\n${from}\n${names}\n${authorization}`, 'base64url')
  }
}

/** A certificate without any name that could be used is one that nobody showed. */
function certified(certificate: CertificateNames): Caller {
  const { commonNames, uris, emails, dns } = certificate
  const user = commonNames[0] ?? uris[0] ?? emails[0] ?? dns[0]
  if (user === undefined) return { ...anonymous, certificate }
  return { method: 'certificate', user, provider: '', claims: {}, certificate }
}
