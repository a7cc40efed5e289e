/**
 * Docker's way of logging in: the challenge of the ping is the only one that counts, `docker login` keeps the refresh
 * token in place of the password where it gets one, and a request goes out with a token for its scopes or as it is.
 */
import { userAgent } from './docker-push.ts'
import { ClientError } from './http.ts'
import type { Credentials } from './token-source.ts'

/** What `docker login` leaves in `config.json`. */
export type Kept = Credentials | { readonly identityToken: string }

type Headers = Readonly<Record<string, string>>

export class DockerLogin {
  readonly #url: string
  readonly #kept: Kept | undefined
  readonly #tokens = new Map<string, string>()
  #challenge: string | undefined
  /** Came with the last token. */
  #refresh: string | undefined

  constructor(url: string, kept?: Kept) {
    this.#url = url
    this.#kept = kept
  }

  /** What is kept from here on. @throws ClientError for a wrong login */
  async login(): Promise<Kept> {
    await this.ping()
    const answer = await get(`${this.#url}/v2/`, await this.headers([]))
    if (!answer.ok) throw new ClientError(`login: ${await answer.text()}`, { status: answer.status })
    if (this.#refresh !== undefined) return { identityToken: this.#refresh }
    if (!this.#kept) throw new ClientError('login: no credentials')
    return this.#kept
  }

  /** Nothing later is listened to. */
  async ping(): Promise<void> {
    const answer = await get(`${this.#url}/v2/`)
    if (answer.status === 401) this.#challenge = answer.headers.get('www-authenticate') ?? undefined
    else if (!answer.ok) throw new ClientError(`ping: ${answer.status}`, { status: answer.status })
  }

  async headers(scopes: readonly string[]): Promise<Headers> {
    const challenge = this.#challenge
    if (challenge === undefined) return {}
    if (/^basic /i.test(challenge)) return this.#basic()
    const key = scopes.join(' ')
    const token = this.#tokens.get(key) ?? (await this.#token(challenge, scopes))
    this.#tokens.set(key, token)
    return { authorization: `Bearer ${token}` }
  }

  #basic(): Headers {
    if (!this.#kept || 'identityToken' in this.#kept) throw new ClientError('no basic auth credentials')
    return basicOf(this.#kept)
  }

  async #token(challenge: string, scopes: readonly string[]): Promise<string> {
    const [realm, service] = [parameter(challenge, 'realm'), parameter(challenge, 'service')]
    const answer =
      this.#kept && 'identityToken' in this.#kept
        ? await this.#refreshed(realm, { service, scope: scopes.join(' '), token: this.#kept.identityToken })
        : await this.#granted(realm, service, scopes)
    if (!answer.ok) throw new ClientError(`token: ${await answer.text()}`, { status: answer.status })
    const given = (await answer.json()) as { token?: string; access_token?: string; refresh_token?: string }
    this.#refresh = given.refresh_token
    return given.token ?? given.access_token ?? ''
  }

  #granted(realm: string, service: string, scopes: readonly string[]): Promise<Response> {
    const url = new URL(realm)
    const kept = this.#kept as Credentials | undefined
    const account = kept ? { account: kept.username } : {}
    const asked = { ...account, client_id: 'docker', offline_token: 'true', service }
    for (const [name, value] of Object.entries(asked)) url.searchParams.set(name, value)
    for (const scope of scopes) url.searchParams.append('scope', scope)
    return get(url.href, kept && basicOf(kept))
  }

  #refreshed(
    realm: string,
    { service, scope, token }: { service: string; scope: string; token: string },
  ): Promise<Response> {
    const grant = { grant_type: 'refresh_token', refresh_token: token }
    const body = new URLSearchParams({ ...grant, client_id: 'docker', service, scope })
    return fetch(realm, { method: 'POST', headers: { 'user-agent': userAgent }, body })
  }
}

function get(url: string, headers: Headers = {}): Promise<Response> {
  return fetch(url, { headers: { 'user-agent': userAgent, ...headers } })
}

function basicOf({ username, password }: Credentials): Headers {
  return { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` }
}

function parameter(challenge: string, name: string): string {
  return new RegExp(`[ ,]${name}="([^"]*)"`, 'i').exec(challenge)?.[1] ?? ''
}
