/** The owner elected through the bucket that replicas share: an object names it, and is only replaced by who read it last. */
import { randomUUID } from 'node:crypto'
import type { Logger } from '../../observe/log.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Objects, ObjectVersion } from '../../store/objects.ts'
import { Signal } from '../../stream/signal.ts'
import { leaseGivenMs, type Owner, type Ownership, type Standing } from './ownership.ts'
import { momentOf, Term } from './term.ts'

export interface ElectionDeps {
  readonly objects: Pick<Objects, 'read' | 'put' | 'probe' | 'isConditional'>
  /** Where other replicas reach us. */
  readonly advertise: string
  readonly clock: Clock
  readonly log: Logger
  /** Our term begins when this resolves; until then nobody is told. */
  readonly begun: () => Promise<void>
  /** Resolves when what the term did has ended and nobody answers by our leave; the term runs on meanwhile. */
  readonly leaving: () => Promise<void>
  /** A term is over. */
  readonly ended: () => void
}

const key = 'cluster/owner.json'
const maxBytes = 16 * 1024
/** A term counts for so long from the moment before its renewal was sent. */
const termMs = 8_000
const renewEveryMs = 2_000
/** An answer of the bucket is waited for so long; what was asked may still be carried out. */
const patienceMs = 2_500
/** A version that nobody replaces for so long belongs to an owner that is gone, with every lease that it gave. */
const goneAfterMs = termMs + leaseGivenMs + 400
const lookEveryMs = 1_000
/** While nobody is known to be the owner. */
const lookAgainMs = 200
const complainEveryMs = 60_000

/** What the object says. */
interface Claim {
  readonly v: 1
  /** Of the process. */
  readonly id: string
  readonly url: string
  readonly term: number
  /** No two versions are alike. */
  readonly renewal: number
  /** Given up: whoever comes first may follow at once. */
  readonly released?: true
}

/** The version that was seen last, and since when. */
interface Seen {
  readonly version: ObjectVersion | undefined
  readonly claim: Claim | undefined
  readonly sinceMs: number
}

interface Held {
  readonly version: ObjectVersion
  readonly claim: Claim
}

/** @param deps.objects with conditional writes: without them nobody becomes the owner */
export class Election implements Ownership {
  readonly #deps: ElectionDeps
  readonly #id = randomUUID()
  readonly #changed = new Signal()
  readonly #stopping = new AbortController()
  #nap = new AbortController()
  #seen: Seen | undefined
  /** The object is ours, whether or not the term runs. */
  #held: Held | undefined
  #term: Term | undefined
  /** Another one is to follow. */
  #isLeaving = false
  /** One question to the bucket after the other. */
  #last: Promise<unknown> = Promise.resolve()
  #complainedAt = Number.NEGATIVE_INFINITY
  readonly #running: Promise<void>

  constructor(deps: ElectionDeps) {
    this.#deps = deps
    this.#running = this.#run()
  }

  get owner(): Owner {
    if (this.#term?.holds) return this.#isLeaving ? { kind: 'none' } : { kind: 'self', term: this.#term }
    const claim = this.#seen?.claim
    if (!claim || claim.released || claim.id === this.#id || claim.url === this.#deps.advertise)
      return { kind: 'none' }
    return { kind: 'other', url: claim.url }
  }

  get term(): Standing | undefined {
    return this.#term
  }

  doubt(): void {
    this.#nap.abort()
  }

  changed(signal: AbortSignal): Promise<void> {
    return this.#changed.until(signal)
  }

  /** A successor waits for them, and who hands over too. */
  async leasesEnded(): Promise<void> {}

  async handOver(): Promise<void> {
    if (this.#isLeaving) return
    this.#isLeaving = true
    this.#changed.fire()
    if (this.#term?.holds) await this.#deps.leaving().catch(error => this.#complain(error))
    await this.#next(() => this.#release()).catch(error => this.#complain(error))
    this.#nap.abort()
  }

  async stop(): Promise<void> {
    await this.handOver()
    this.#stopping.abort(new Error('Layover is stopping'))
    await this.#running
  }

  async #run(): Promise<void> {
    const { clock } = this.#deps
    const { signal } = this.#stopping
    while (!signal.aborted) {
      const startedAt = clock.monotonic()
      await this.#next(() => this.#step()).catch(error => this.#complain(error))
      await this.#rest(startedAt)
    }
    this.#endTerm()
  }

  /** Until it is time to look again, or somebody has a reason to. */
  async #rest(startedAt: number): Promise<void> {
    const { clock } = this.#deps
    const { signal } = this.#stopping
    this.#nap = new AbortController()
    const left = (ms: number) => Math.max(0, startedAt + ms - clock.monotonic())
    const { kind } = this.owner
    const lookMs = kind === 'none' ? lookAgainMs : lookEveryMs
    const everyMs = this.#held ? renewEveryMs : lookMs
    await clock
      .sleep(left(everyMs), AbortSignal.any([signal, this.#nap.signal]))
      .catch(() => clock.sleep(left(lookAgainMs), signal))
      .catch(() => {}) // the stop ends the loop
  }

  async #step(): Promise<void> {
    if (!this.#deps.objects.isConditional) await this.#probe()
    if (this.#held && this.#isLeaving && !this.#term) return this.#release() // which failed
    if (this.#held) return this.#renew(this.#held)
    await this.#look()
    if (this.#isLeaving) return
    if (this.#held) return this.#renew(this.#held) // what was sent before has come to be
    if (this.#isFree()) await this.#take()
  }

  async #probe(): Promise<void> {
    const { objects } = this.#deps
    await objects.probe()
    if (objects.isConditional) return
    throw new Error('the bucket takes no conditional writes: name the owner of local names (replica.owner)')
  }

  /** Whether nobody can act as the owner of what was seen any more. */
  #isFree(): boolean {
    const seen = this.#seen
    if (!seen) return false
    if (seen.claim?.released) return true
    return this.#deps.clock.monotonic() - seen.sinceMs > goneAfterMs
  }

  async #look(): Promise<void> {
    const { objects, clock, log } = this.#deps
    const isFirst = this.#seen === undefined
    const found = await this.#inTime(signal => objects.read(key, maxBytes, signal))
    const { version } = found ?? {}
    if (!isFirst && version === this.#seen?.version) return
    const claim = found && claimIn(found.content)
    // An object that was never there is nobody's; one that vanished was somebody's a moment ago.
    const sinceMs = isFirst && !found ? Number.NEGATIVE_INFINITY : clock.monotonic()
    const before = this.#seen?.claim
    this.#seen = { version, claim, sinceMs }
    if (claim?.id === this.#id && !claim.released && version !== undefined) this.#held = { version, claim }
    if (before?.id === claim?.id && before?.released === claim?.released) return
    if (claim && !claim.released && claim.id !== this.#id)
      log.info({ owner: claim.url }, 'local names have an owner')
    this.#changed.fire()
  }

  async #take(): Promise<void> {
    const { advertise, log } = this.#deps
    const { version, claim } = this.#seen ?? {}
    const term = (claim?.term ?? 0) + 1
    log.info({ term }, 'nobody owns the local names: this replica offers itself')
    await this.#put({ v: 1, id: this.#id, url: advertise, term, renewal: 0 }, version)
  }

  async #renew({ claim, version }: Held): Promise<void> {
    if (this.#term && !this.#term.holds) this.#endTerm()
    const isKept = await this.#put({ ...claim, renewal: claim.renewal + 1 }, version)
    if (isKept) return
    this.#held = undefined
    await this.#look()
    if (!this.#held) this.#endTerm() // else an earlier renewal, of which we did not hear, has come to be
  }

  /** Resolves with whether the object is ours now, and since when counts. */
  async #put(claim: Claim, replaced: ObjectVersion | undefined): Promise<boolean> {
    const { objects, clock, begun, log } = this.#deps
    const sentAt = momentOf(clock)
    const condition = replaced === undefined ? 'absent' : { version: replaced }
    const content = Buffer.from(JSON.stringify(claim))
    const version = await this.#inTime(() => objects.put(key, content, condition))
    if (version === false) return false
    this.#held = { version, claim }
    this.#seen = { version, claim, sinceMs: clock.monotonic() }
    if (this.#term?.holds) {
      this.#term.renew(sentAt)
      return true
    }
    this.#endTerm()
    if (this.#isLeaving) return true
    const term = new Term(clock, termMs, sentAt)
    await begun()
    this.#term = term
    log.info({ term: claim.term }, 'this replica owns the local names')
    this.#changed.fire()
    return true
  }

  async #release(): Promise<void> {
    const { objects, log } = this.#deps
    const held = this.#held
    this.#endTerm()
    if (!held) return
    const claim: Claim = { ...held.claim, renewal: held.claim.renewal + 1, released: true }
    const content = Buffer.from(JSON.stringify(claim))
    await this.#inTime(() => objects.put(key, content, { version: held.version }))
    this.#held = undefined // also when somebody else has it
    log.info('the local names are given up: another replica may follow')
  }

  #endTerm(): void {
    if (!this.#term) return
    this.#term.end()
    this.#term = undefined
    this.#deps.ended()
    this.#changed.fire()
  }

  async #inTime<T>(ask: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const over = new AbortController()
    const late = this.#deps.clock.sleep(patienceMs, over.signal).then(() => {
      throw new Error(`the bucket did not answer within ${patienceMs} ms`)
    })
    late.catch(() => {}) // it was in time
    try {
      return await Promise.race([ask(over.signal), late])
    } finally {
      over.abort()
    }
  }

  #next<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#last.then(task, task)
    this.#last = result.catch(() => {})
    return result
  }

  #complain(error: unknown): void {
    const { clock, log } = this.#deps
    const now = clock.monotonic()
    if (now - this.#complainedAt < complainEveryMs) return
    this.#complainedAt = now
    log.error({ err: error }, 'who owns the local names cannot be found out or written down: tried again')
  }
}

function claimIn(content: Buffer): Claim | undefined {
  try {
    const claim = JSON.parse(content.toString()) as Claim | null
    return claim?.v === 1 && typeof claim.url === 'string' ? claim : undefined
  } catch {
    return undefined // nobody of this version: one that is not renewed any more is replaced
  }
}
