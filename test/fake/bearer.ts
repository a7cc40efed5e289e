/** Bearer tokens: the challenge, the realm that issues them, and their check at the registry. */
import { type Answer, answer, json, ociError, type Request } from './answer.ts'
import { type Auth, basicOf, type Directory, refused, type User, type Verdict } from './auth.ts'
import { type Claims, readToken, signToken, type TokenFormat } from './token.ts'

export interface BearerOptions {
  /** URL named in the challenge. */
  realm: string
  service: string | undefined
  /** `placeholder`: the ping names a repository that is nobody's (ghcr). `aws`: one scope for everything. */
  scope: 'repository' | 'placeholder' | 'aws'
  lifeMs: number
  format: TokenFormat
  /** Which fields carry the token; `different`: only `token` is good. */
  fields: 'token' | 'access_token' | 'both' | 'different'
  /** `life` is the true one; anything else is said as it is. */
  expiresIn: number | string | undefined
  /** How wrong the realm's clock is in `issued_at`. */
  issuedAtSkewMs: number
  /** Whether the realm gives tokens to anybody. */
  anonymous: boolean
  /** Whether the registry lets anybody pull what is public without a token. */
  open: boolean
  /** What the token endpoint says to POST; `oauth2`: it knows the grants. */
  post: 'oauth2' | number
  /** Quay: neither scope nor credential is a 401. */
  wantsScope: boolean
  /** After so many wrong passwords the user is locked: 429. */
  lockAfter: number
  /** Challenges of a resource, in place of the usual one. */
  challenges: ((repository: string | undefined) => string[]) | undefined
  /** The answer to a token that is expired or not ours, in place of a 401 with the usual challenge. */
  whenInvalid: (() => Answer) | undefined
}

export const bearerDefaults: Omit<BearerOptions, 'realm' | 'service'> = {
  scope: 'repository',
  lifeMs: 300_000,
  format: 'opaque',
  fields: 'both',
  expiresIn: 'life',
  issuedAtSkewMs: 0,
  anonymous: true,
  open: false,
  post: 'oauth2',
  wantsScope: false,
  lockAfter: 10,
  challenges: undefined,
  whenInvalid: undefined,
}

export interface BearerContext {
  directory: Directory
  /** Host and path of the token endpoint. */
  endpoint: { host: string; path: string }
  now: () => number
  secret: string
}

export class BearerAuth implements Auth {
  /** May be changed at any time. */
  readonly options: BearerOptions
  readonly #context: BearerContext
  readonly #failures = new Map<string, number>()
  #issued = 0

  constructor(
    options: Partial<BearerOptions> & Pick<BearerOptions, 'realm' | 'service'>,
    context: BearerContext,
  ) {
    this.options = { ...bearerDefaults, ...options }
    this.#context = context
  }

  authorize(request: Request, repository: string | undefined): Verdict {
    const { directory } = this.#context
    const { authorization } = request.headers
    if (authorization === undefined) {
      const visible = repository === undefined || !directory.privates.has(repository)
      if (this.options.open && visible) return { kind: 'admitted', user: '' }
      return refused(this.#challenge(repository))
    }
    const claims = this.#claimsOf(authorization)
    if (!claims) return refused(this.options.whenInvalid?.() ?? this.#challenge(repository, 'invalid_token'))
    if (repository !== undefined && !allows(claims, repository)) return refused(this.insufficient(repository))
    return { kind: 'admitted', user: claims.sub }
  }

  insufficient(repository: string): Answer {
    return this.#challenge(repository, 'insufficient_scope')
  }

  issue(request: Request): Answer | undefined {
    const { host, path } = this.#context.endpoint
    if (request.host !== host || request.path !== path) return undefined
    return request.method === 'POST' ? this.#grant(request) : this.#token(request)
  }

  #token(request: Request): Answer {
    const scopes = request.query.getAll('scope')
    const basic = basicOf(request)
    const user = basic ? this.#login(basic.name, basic.password) : undefined
    if (user && 'status' in user) return user
    if (!user && !this.options.anonymous) return unauthorized()
    if (!user && this.options.wantsScope && scopes.length === 0) return unauthorized()
    return this.#reply(user, request.query.get('service') ?? '', scopes)
  }

  #grant(request: Request): Answer {
    const { post } = this.options
    if (post !== 'oauth2') return ociError(post, 'UNSUPPORTED', `POST is answered with ${post}`)
    const form = new URLSearchParams(request.body)
    const user =
      form.get('grant_type') === 'refresh_token'
        ? this.#byIdentityToken(form.get('refresh_token') ?? '')
        : this.#login(form.get('username') ?? '', form.get('password') ?? '')
    if ('status' in user) return user
    return this.#reply(user, form.get('service') ?? '', (form.get('scope') ?? '').split(' '))
  }

  #login(name: string, password: string): User | Answer {
    const failures = this.#failures.get(name) ?? 0
    if (failures >= this.options.lockAfter) return json(429, { detail: 'Too many failed login attempts' })
    const user = this.#context.directory.check(name, password)
    if (user) return user
    this.#failures.set(name, failures + 1)
    return unauthorized()
  }

  #byIdentityToken(token: string): User | Answer {
    const users = [...this.#context.directory.users.values()]
    return users.find(user => user.identityToken === token) ?? unauthorized()
  }

  #reply(user: User | undefined, service: string, scopes: readonly string[]): Answer {
    const { lifeMs, format, fields, expiresIn, issuedAtSkewMs } = this.options
    const now = this.#context.now()
    const claims: Claims = {
      iss: this.#context.endpoint.host,
      aud: service,
      sub: user?.name ?? '',
      access: this.#access(user, scopes),
      exp: (now + lifeMs) / 1_000,
      jti: ++this.#issued,
    }
    const token = signToken(this.#context.secret, claims, format)
    const life = expiresIn === 'life' ? lifeMs / 1_000 : expiresIn
    return json(200, {
      ...(fields === 'access_token' ? {} : { token }),
      ...(fields === 'token' ? {} : { access_token: fields === 'different' ? `not-${token}` : token }),
      ...(life === undefined
        ? {}
        : { expires_in: life, issued_at: new Date(now + issuedAtSkewMs).toISOString() }),
    })
  }

  #access(user: User | undefined, scopes: readonly string[]): string[] {
    if (this.options.scope === 'aws') return scopes.includes('aws') ? ['*'] : []
    return scopes
      .map(scope => /^repository:(.+):[^:]*\bpull\b/.exec(scope)?.[1])
      .filter(repository => repository !== undefined)
      .filter(repository => this.#context.directory.mayPull(user?.name ?? '', repository))
  }

  #claimsOf(authorization: string): Claims | undefined {
    const token = /^Bearer (.+)$/i.exec(authorization)?.[1]
    const claims = token === undefined ? undefined : readToken(this.#context.secret, token)
    if (!claims || claims.aud !== (this.options.service ?? '')) return undefined
    return this.#context.now() / 1_000 < claims.exp ? claims : undefined
  }

  #challenge(repository: string | undefined, error?: string): Answer {
    const challenges = this.options.challenges?.(repository) ?? [this.#bearer(repository, error)]
    return ociError(401, 'UNAUTHORIZED', 'authentication required', { 'www-authenticate': challenges })
  }

  #bearer(repository: string | undefined, error: string | undefined): string {
    const { realm, service } = this.options
    const scope = this.#scope(repository)
    const parts = [
      `realm="${realm}"`,
      ...(service === undefined ? [] : [`service="${service}"`]),
      ...(scope === undefined ? [] : [`scope="${scope}"`]),
      ...(error === undefined ? [] : [`error="${error}"`]),
    ]
    return `Bearer ${parts.join(',')}`
  }

  #scope(repository: string | undefined): string | undefined {
    if (this.options.scope === 'aws') return 'aws'
    if (repository !== undefined) return `repository:${repository}:pull`
    return this.options.scope === 'placeholder' ? 'repository:user/image:pull' : undefined
  }
}

function allows({ access }: Claims, repository: string): boolean {
  return access.includes('*') || access.includes(repository)
}

function unauthorized(): Answer {
  return answer(401, '{"details":"incorrect username or password"}', { 'content-type': 'application/json' })
}
