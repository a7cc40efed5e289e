/** Whether a password is right: computed once by a thread, remembered for a while, and never told by the time it takes. */
import { createHash, hash, randomBytes } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { RegistryError } from '../../oci/errors.ts'
import type { Clock } from '../../runtime/clock.ts'
import { Coalescer } from '../../stream/coalesce.ts'
import { LoginUnavailable } from '../caller.ts'
import type { LoginFailures, Trying } from '../failures.ts'
import type { UserOptions } from '../options.ts'
import { LoginQueue, type Waiting } from './login-queue.ts'
import { decoyOf, type PasswordHash, parsePasswordHash } from './password-hash.ts'
import { PasswordThread } from './password-thread.ts'

export interface PasswordsDeps {
  readonly clock: Clock
  /** Asked before anything is computed, and told of what came of it. */
  readonly failures: LoginFailures
  readonly thread?: Pick<PasswordThread, 'isRight' | 'close'>
}

/** How long a right password needs no computing. */
const rightMs = 300_000
/** A node that tries the same wrong one again and again costs nothing for so long, and guesses nothing. */
const wrongMs = 10_000
const maxRemembered = 10_000

interface Stored {
  readonly text: string
  readonly hash: PasswordHash
}

interface Login extends Waiting {
  readonly password: string
  readonly resolve: (isRight: boolean) => void
}

export class Passwords {
  readonly #deps: PasswordsDeps
  readonly #thread: Pick<PasswordThread, 'isRight' | 'close'>
  readonly #queue: LoginQueue<Login>
  readonly #running = new Coalescer<boolean>()
  /** By a hash under a key of this process: neither a password nor what it could be guessed from is in memory. */
  readonly #key = randomBytes(32).toString('hex')
  readonly #right: LRUCache<string, true>
  readonly #wrong: LRUCache<string, true>
  #users: ReadonlyMap<string, Stored> = new Map()
  /** What it costs to be wrong, of each user. */
  #decoys: readonly PasswordHash[] = []
  /** Decides whose decoy stands for an unknown user; the same in every process, and after each start. */
  #decoyKey = ''
  #isWorking = false

  /** @throws HashInvalid */
  constructor(users: readonly UserOptions[], deps: PasswordsDeps) {
    this.#deps = deps
    this.#thread = deps.thread ?? new PasswordThread({ clock: deps.clock })
    this.#queue = new LoginQueue(deps.failures, () => deps.clock.monotonic())
    this.#right = remembering(rightMs, deps.clock)
    this.#wrong = remembering(wrongMs, deps.clock)
    this.update(users)
  }

  has(user: string): boolean {
    return this.#users.has(user)
  }

  /**
   * Resolves with whether it is right. An unknown user costs what some known one costs, always the same one: where
   * hashes are of different costs, the time tells nothing either.
   *
   * @param client address
   * @throws RegistryError TOOMANYREQUESTS after too many failures, or when too many wait
   * @throws LoginUnavailable when it cannot be computed
   */
  async check(user: string, password: string, client = ''): Promise<boolean> {
    const remembered = this.recall(user, password, client)
    if (remembered !== undefined) return remembered
    return this.#running.run(`${client} ${this.#keyOf(user, password)}`, () =>
      this.#wait({ client, user }, password),
    ).result
  }

  /**
   * What is known without computing; undefined: it has to be computed. A wrong one that comes again is not counted.
   *
   * @throws RegistryError TOOMANYREQUESTS after too many failures
   */
  recall(user: string, password: string, client = ''): boolean | undefined {
    if (this.#users.size === 0) return false
    const who = { client, user }
    this.#deps.failures.assertMayTry(who)
    const key = this.#keyOf(user, password)
    if (this.#right.has(key)) {
      this.#deps.failures.succeeded(who)
      return true
    }
    return this.#wrong.has(key) ? false : undefined
  }

  /** What was remembered of changed users is forgotten. @throws HashInvalid */
  update(users: readonly UserOptions[]): void {
    const stored = new Map(
      users.map(({ name, hash: text }) => [name, { text, hash: parsePasswordHash(text) }]),
    )
    this.#users = stored
    this.#decoys = [...stored.values()].map(user => decoyOf(user.hash))
    this.#decoyKey = createHash('sha256')
      .update(JSON.stringify([...stored.values()].map(({ text }) => text)))
      .digest('hex')
  }

  /** What is stored of the user's password; undefined: there is no such user. */
  hashOf(user: string): string | undefined {
    return this.#users.get(user)?.text
  }

  close(): void {
    this.#queue.clear(new LoginUnavailable('Layover is stopping'))
    this.#thread.close()
  }

  #wait(who: Trying, password: string): Promise<boolean> {
    const since = this.#deps.clock.monotonic()
    return new Promise((resolve, reject) => {
      this.#queue.add({ who, password, since, resolve, reject })
      void this.#work()
    })
  }

  /** One after the other: what came of one counts before the next is computed. */
  async #work(): Promise<void> {
    if (this.#isWorking) return
    this.#isWorking = true
    for (let login = this.#queue.take(); login; login = this.#queue.take()) {
      try {
        login.resolve(await this.#answer(login))
      } catch (error) {
        login.reject(failureOf(error))
      }
    }
    this.#isWorking = false
  }

  async #answer({ who, password }: Login): Promise<boolean> {
    for (;;) {
      const remembered = this.recall(who.user, password, who.client)
      if (remembered !== undefined) return remembered
      const key = this.#keyOf(who.user, password)
      const isRight = await this.#compute(who.user, password)
      if (key !== this.#keyOf(who.user, password)) continue // there is another hash by now
      this.#remember(key, who, isRight)
      return isRight
    }
  }

  async #compute(user: string, password: string): Promise<boolean> {
    const stored = this.#users.get(user)
    const computed = await this.#thread.isRight({ password, hash: stored?.hash ?? this.#decoyFor(user) })
    return stored !== undefined && computed
  }

  #remember(key: string, who: Trying, isRight: boolean): void {
    const { failures } = this.#deps
    if (isRight) failures.succeeded(who)
    else failures.failed(who)
    if (isRight) this.#right.set(key, true)
    else this.#wrong.set(key, true)
  }

  #decoyFor(user: string): PasswordHash {
    const number = createHash('sha256').update(this.#decoyKey).update(user).digest().readUInt32BE()
    const decoy = this.#decoys[number % this.#decoys.length]
    if (!decoy) throw new LoginUnavailable('there are no users')
    return decoy
  }

  /** Of a user with this hash, or without any. */
  #keyOf(user: string, password: string): string {
    const stored = this.#users.get(user)?.text ?? ''
    return hash('sha256', `${this.#key}${user.length}:${user}:${stored}:${password}`, 'base64')
  }
}

function remembering(ttl: number, clock: Clock): LRUCache<string, true> {
  const perf = { now: () => clock.monotonic() + 1 } // 0 would be no time at all
  return new LRUCache({ max: maxRemembered, ttl, ttlResolution: 0, perf })
}

function failureOf(error: unknown): Error {
  if (error instanceof RegistryError || error instanceof LoginUnavailable) return error
  return new LoginUnavailable('the password could not be checked', { cause: error })
}
