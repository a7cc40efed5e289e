/**
 * Who fetches what: claims in Redis with an expiry, renewed while the work goes on. A claim saves work and never decides
 * correctness: whoever cannot have one, or cannot reach who has it, does the work as well.
 */
import { createHash, randomBytes } from 'node:crypto'
import type { Clock } from '../runtime/clock.ts'
import type { Redis } from './redis/redis.ts'

/** How long a claim stands that nobody renews: its holder is gone, or hangs. */
export const claimMs = 6_000
const renewEveryMs = 2_000

/** How long it is remembered who did the work last. */
const rememberedMs = 600_000

/** A claim of ours. */
export interface Claim {
  readonly isOurs: true
  /** Where the replica is reached that did the work lately, and has what came of it unless it was lost since. */
  readonly doneBy: string | undefined
  /** Never rejects: one that Redis does not hear of expires. @param isDone the work is done: others need not do it */
  release(isDone: boolean): Promise<void>
}

/** A claim of another replica. */
export interface Standing {
  readonly isOurs: false
  /** Where its holder is reached. */
  readonly holder: string
  /** Tells it from every other claim. */
  readonly token: string
}

export interface ClaimsDeps {
  readonly redis: Redis
  /** Where we are reached. */
  readonly advertise: string
  readonly clock: Clock
}

/**
 * Whether it is ours now, and what stands or stood there. A word that begins with `=` is no claim: it tells who did the
 * work. ARGV: ours, milliseconds, what may be replaced.
 */
const take = `
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[3] and string.sub(held, 1, 1) ~= '=' then return {0, held} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {1, held or ''}`

/** Also when it is gone, as after a flush. ARGV: ours, milliseconds. */
const renew = `
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`

/** ARGV: ours, and for work that is done what is remembered, and for how many milliseconds. */
const release = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) else redis.call('DEL', KEYS[1]) end
return 1`

export class Claims {
  readonly #deps: ClaimsDeps
  /** Ours, by key: what they say. */
  readonly #held = new Map<string, string>()
  readonly #stopping = new AbortController()
  #isRenewing = false

  constructor(deps: ClaimsDeps) {
    this.#deps = deps
  }

  /**
   * Undefined: Redis does not say.
   *
   * @param dead a claim whose holder is known not to do the work any more: it is taken over, if it still stands
   */
  async take(subject: string, dead?: Standing): Promise<Claim | Standing | undefined> {
    const { advertise, redis } = this.#deps
    const key = this.#key(subject)
    const ours = wordOf({ token: randomBytes(12).toString('base64url'), holder: advertise })
    const replaced = dead ? wordOf(dead) : ''
    let answer: unknown
    try {
      answer = await redis.ask(client => client.eval(take, 1, key, ours, claimMs, replaced))
    } catch {
      return undefined // Redis has logged it
    }
    const [isOurs, held] = answer as [number, string]
    if (isOurs === 0) return standingIn(held)
    this.#held.set(key, ours)
    void this.#renewAll()
    const doneBy = held.startsWith('=') ? held.slice(1) : undefined
    return { isOurs: true, doneBy, release: isDone => this.#release(key, ours, isDone) }
  }

  /** Leaves them to expire. */
  stop(): void {
    this.#stopping.abort()
  }

  async #release(key: string, ours: string, isDone: boolean): Promise<void> {
    if (this.#held.get(key) === ours) this.#held.delete(key)
    const { redis, advertise } = this.#deps
    const remembered = isDone ? [`=${advertise}`, rememberedMs] : []
    await redis.ask(client => client.eval(release, 1, key, ours, ...remembered)).catch(() => {}) // it expires
  }

  /** Goes on as long as there are any. */
  async #renewAll(): Promise<void> {
    if (this.#isRenewing) return
    this.#isRenewing = true
    const { signal } = this.#stopping
    while (this.#held.size > 0 && !signal.aborted) {
      await this.#deps.clock.sleep(renewEveryMs, signal).catch(() => {}) // the stop ends the loop
      if (!signal.aborted) await Promise.all([...this.#held].map(([key, ours]) => this.#renew(key, ours)))
    }
    this.#isRenewing = false
  }

  async #renew(key: string, ours: string): Promise<void> {
    await this.#deps.redis.ask(client => client.eval(renew, 1, key, ours, claimMs)).catch(() => {}) // the next time
  }

  #key(subject: string): string {
    return this.#deps.redis.key('claim', createHash('sha256').update(subject).digest('base64url'))
  }
}

function wordOf({ token, holder }: Pick<Standing, 'token' | 'holder'>): string {
  return `${token} ${holder}`
}

function standingIn(word: string): Standing {
  const [token = '', holder = ''] = word.split(' ')
  return { isOurs: false, holder, token }
}
