/** Docker Hub's pull limit: manifest GETs in a rolling window, per address or user; HEAD and blobs are free. */
import type { Answer } from './answer.ts'
import { type RateLimitForm, rateLimited } from './rate-limit-answers.ts'

export class RateLimit {
  limit = 100
  windowMs = 6 * 3_600_000
  form: RateLimitForm = 'hub'
  /** Users without a limit, who see no headers either. */
  readonly unlimited = new Set<string>()
  readonly #now: () => number
  readonly #pulls = new Map<string, number[]>()

  constructor(now: () => number) {
    this.#now = now
  }

  remaining(identity: string): number {
    return Math.max(0, this.limit - this.#recent(identity).length)
  }

  /** Uses up pulls, all that remain by default. */
  spend(identity: string, pulls = this.remaining(identity)): void {
    const now = this.#now()
    this.#pulls.set(identity, [...this.#recent(identity), ...Array.from({ length: pulls }, () => now)])
  }

  /** Undefined: the pull may go on, and was counted. */
  refuse(identity: string): Answer | undefined {
    if (this.unlimited.has(identity)) return undefined
    if (this.remaining(identity) === 0) {
      const answer = rateLimited(this.form, this.#now())
      return { ...answer, headers: { ...answer.headers, ...this.headers(identity) } }
    }
    this.spend(identity, 1)
    return undefined
  }

  headers(identity: string): Record<string, string> {
    if (this.unlimited.has(identity)) return {}
    const window = `w=${this.windowMs / 1_000}`
    return {
      'ratelimit-limit': `${this.limit};${window}`,
      'ratelimit-remaining': `${this.remaining(identity)};${window}`,
      'docker-ratelimit-source': identity,
    }
  }

  #recent(identity: string): number[] {
    const start = this.#now() - this.windowMs
    return (this.#pulls.get(identity) ?? []).filter(at => at > start)
  }
}
