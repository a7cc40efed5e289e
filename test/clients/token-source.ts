/** How a client answers a challenge: Basic, or a token from the realm, which it keeps for the repository. */
import type { OutgoingHttpHeaders } from 'node:http'
import type { Reply } from './http.ts'

export interface Credentials {
  username: string
  password: string
}

export class TokenSource {
  readonly #credentials: Credentials | undefined
  readonly #get: (url: URL, headers: OutgoingHttpHeaders) => Promise<Reply>
  readonly #byScope = new Map<string, string>()

  constructor(
    credentials: Credentials | undefined,
    get: (url: URL, headers: OutgoingHttpHeaders) => Promise<Reply>,
  ) {
    this.#credentials = credentials
    this.#get = get
  }

  known(url: URL): OutgoingHttpHeaders {
    const authorization = this.#byScope.get(scopeOf(url))
    return authorization === undefined ? {} : { authorization }
  }

  /** Undefined where there is nothing to answer with. */
  async answer(url: URL, challenge: string): Promise<OutgoingHttpHeaders | undefined> {
    const authorization = /^basic/i.test(challenge) ? this.#basic() : await this.#bearer(url, challenge)
    if (authorization === undefined) return undefined
    this.#byScope.set(scopeOf(url), authorization)
    return { authorization }
  }

  #basic(): string | undefined {
    if (!this.#credentials) return undefined
    const { username, password } = this.#credentials
    return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
  }

  async #bearer(_url: URL, challenge: string): Promise<string | undefined> {
    const realm = parameter(challenge, 'realm')
    if (realm === undefined) return undefined
    const target = new URL(realm)
    for (const name of ['service', 'scope']) {
      const value = parameter(challenge, name)
      if (value !== undefined) target.searchParams.set(name, value)
    }
    const reply = await this.#get(target, { authorization: this.#basic() })
    const text = (await reply.body.bytes()).toString()
    if (reply.status !== 200) return undefined
    const { token, access_token } = JSON.parse(text) as { token?: string; access_token?: string }
    return `Bearer ${token ?? access_token ?? ''}`
  }
}

function parameter(challenge: string, name: string): string | undefined {
  const match = new RegExp(`[ ,]${name}=(?:"([^"]*)"|([^",\\s]+))`, 'i').exec(challenge)
  return match?.[1] ?? match?.[2]
}

/** Host and repository: what a token is good for. */
function scopeOf({ host, pathname }: URL): string {
  return `${host} ${pathname.replace(/\/(?:manifests|blobs|tags|referrers)\/.*$/, '')}`
}
