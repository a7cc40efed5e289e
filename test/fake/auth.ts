/** What a registry asks for before it answers, and who may pull what. */
import type { Answer, Request } from './answer.ts'
import { ociError } from './answer.ts'
import { same } from './token.ts'

export interface User {
  name: string
  password: string
  /** For the refresh_token grant, as Docker's `identitytoken`. */
  identityToken: string | undefined
  /** Private repositories that the user may pull; `*` is all. */
  pull: readonly string[]
}

/** Users and private repositories of one registry. */
export class Directory {
  readonly users = new Map<string, User>()
  readonly privates = new Set<string>()

  mayPull(user: string, repository: string): boolean {
    if (!this.privates.has(repository)) return true
    const pull = this.users.get(user)?.pull ?? []
    return pull.includes('*') || pull.includes(repository)
  }

  check(name: string, password: string): User | undefined {
    const user = this.users.get(name)
    return user && same(user.password, password) ? user : undefined
  }
}

export type Verdict =
  /** `user` is empty for anonymous. */
  { kind: 'admitted'; user: string } | { kind: 'refused'; answer: Answer }

/** One way of asking for credentials. */
export interface Auth {
  /** @param repository undefined for the `/v2/` ping */
  authorize(request: Request, repository: string | undefined): Verdict
  /** Answers the token endpoint where `request` is for it. */
  issue(request: Request): Answer | undefined
  /** What is said to a good credential about a repository that is not there or not for it. */
  insufficient(repository: string): Answer
}

export function basicOf(request: Request): { name: string; password: string } | undefined {
  const match = /^Basic (.+)$/i.exec(request.headers.authorization ?? '')
  if (!match?.[1]) return undefined
  const text = Buffer.from(match[1], 'base64').toString()
  const colon = text.indexOf(':')
  return { name: text.slice(0, colon), password: text.slice(colon + 1) }
}

export function refused(answer: Answer): Verdict {
  return { kind: 'refused', answer }
}

/** Basic on every request, as private ECR has it. */
export class BasicAuth implements Auth {
  /** Passwords are good until then; 403 follows. Milliseconds since the epoch. */
  expiresAtMs = Number.POSITIVE_INFINITY
  readonly #directory: Directory
  readonly #challenge: string
  readonly #now: () => number

  constructor(directory: Directory, challenge: string, now: () => number) {
    this.#directory = directory
    this.#challenge = challenge
    this.#now = now
  }

  authorize(request: Request, repository: string | undefined): Verdict {
    const given = basicOf(request)
    const user = given && this.#directory.check(given.name, given.password)
    if (!user) {
      const headers = { 'www-authenticate': this.#challenge }
      return refused(
        ociError(401, 'UNAUTHORIZED', given ? 'authorization failed' : 'no basic auth credentials', headers),
      )
    }
    if (this.#now() >= this.expiresAtMs) {
      const text = 'Your authorization token has expired. Reauthenticate and try again.'
      return refused(ociError(403, 'DENIED', text))
    }
    if (repository !== undefined && !this.#directory.mayPull(user.name, repository)) {
      return refused(this.insufficient(repository))
    }
    return { kind: 'admitted', user: user.name }
  }

  issue(): undefined {
    return undefined
  }

  insufficient(repository: string): Answer {
    return ociError(403, 'DENIED', `not authorized to perform: ecr:BatchGetImage on resource ${repository}`)
  }
}
