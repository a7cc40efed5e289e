/** Keeps a lease on local names from whoever owns them, for as long as this replica runs. */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { ClientRequest, IncomingMessage } from 'node:http'
import { createInterface } from 'node:readline'
import { Lease, type LeaseDeps, leasesPath, type Told } from '../../cluster/owner/lease.ts'
import type { Ownership } from '../../cluster/owner/ownership.ts'
import type { Logger } from '../../observe/log.ts'
import type { OwnerForward } from './owner-forward.ts'

export interface LeasingDeps extends LeaseDeps {
  readonly ownership: Ownership
  readonly forward: Pick<OwnerForward, 'ask'>
  readonly log: Logger
}

/** Often enough that a lease of 2 s never ends while it is wanted. */
const renewEveryMs = 700
/** While nobody asks for local names: so that an owner that hangs is noticed. */
const greetEveryMs = 3_000
const soonestMs = 100
/** Nobody has asked for so long: the owner need not wait for us. */
const wantedMs = 60_000
/** An owner that says nothing for so long hangs: nobody waits for its answers. */
const silentMs = 10_000
const headMs = 3_000
const retryMs = 200

export class Leasing {
  readonly #deps: LeasingDeps
  readonly #holder = randomUUID()
  /** Connections begun, the earlier of which the owner may see later. */
  #turns = 0
  readonly #stopping = new AbortController()
  readonly #running: Promise<void>
  #lease: Lease | undefined
  #heardAt: number
  #silence = new AbortController()
  /** Tells the owner that nothing is answered by its leave any more. */
  #parting: (() => Promise<void>) | undefined

  constructor(deps: LeasingDeps) {
    this.#deps = deps
    this.#heardAt = deps.clock.monotonic()
    this.#running = this.#run()
  }

  /** Aborted while the owner says nothing: nobody waits for its answers then. */
  get silence(): AbortSignal {
    if (this.#deps.clock.monotonic() - this.#heardAt > silentMs)
      this.#silence.abort(new Error('the owner says nothing'))
    return this.#silence.signal
  }

  /** Known to the owner, whether or not it holds at the moment. */
  get lease(): Lease | undefined {
    return this.#lease?.isKnown ? this.#lease : undefined
  }

  async stop(): Promise<void> {
    await this.#parting?.()
    this.#stopping.abort(new Error('Layover is stopping'))
    await this.#running
  }

  async #run(): Promise<void> {
    const { ownership, clock, log } = this.#deps
    const { signal } = this.#stopping
    while (!signal.aborted) {
      const { owner } = ownership
      void this.silence // whoever waits hears of it
      if (owner.kind !== 'other') {
        await ownership.changed(signal).catch(() => {}) // the stop ends the loop
        continue
      }
      await this.#hold(owner.url).catch(error => {
        if (!signal.aborted) log.debug({ err: error, owner: owner.url }, 'there is no lease on local names')
        ownership.doubt()
      })
      await clock.sleep(retryMs, signal).catch(() => {}) // the stop ends the loop
    }
  }

  /** Resolves when the owner ends it. */
  async #hold(url: string): Promise<void> {
    const { forward } = this.#deps
    const session = randomUUID()
    const over = new AbortController()
    const lease = new Lease(this.#deps)
    this.#turns += 1
    const words = `holder=${this.#holder}&turn=${this.#turns}&session=${session}`
    const inner = forward.ask(url, 'GET', `${leasesPath}?${words}`)
    const stop = () => void inner.destroy(this.#stopping.signal.reason as Error)
    this.#stopping.signal.addEventListener('abort', stop, { once: true })
    try {
      const reply = await headOf(inner)
      if (reply.statusCode !== 200) throw new Error(`the owner answers ${reply.statusCode}`)
      this.#heard()
      this.#lease = lease
      this.#parting = () => {
        lease.end()
        return this.#say(url, `session=${session}&leave=1`)
      }
      void this.#keep(lease, { url, session, inner, signal: over.signal })
      for await (const line of createInterface(reply)) {
        this.#heard()
        const done = lease.take(JSON.parse(line) as Told)
        if (done !== undefined) void this.#say(url, `session=${session}&done=${done}`)
      }
    } finally {
      lease.end()
      this.#lease = undefined
      this.#parting = undefined
      over.abort()
      inner.destroy()
      this.#stopping.signal.removeEventListener('abort', stop)
    }
  }

  async #keep(lease: Lease, { url, session, inner, signal }: Kept): Promise<void> {
    const { ownership, clock } = this.#deps
    while (!signal.aborted) {
      const { owner } = ownership
      const isAnother = owner.kind === 'other' && owner.url !== url
      if (isAnother || this.silence.aborted) return void inner.destroy(new Error('it is not asked any more'))
      void this.#say(url, `session=${session}&done=${lease.done}&ask=${lease.ask()}`)
      await clock.sleep(soonestMs, signal).catch(() => {}) // it is over
      const everyMs = lease.idleMs < wantedMs ? renewEveryMs : greetEveryMs
      const woken = new AbortController()
      const either = AbortSignal.any([signal, woken.signal])
      const nap = clock.sleep(everyMs - soonestMs, either)
      await Promise.race([nap, lease.wanted(either)]).catch(() => {}) // it is over
      woken.abort()
    }
  }

  #heard(): void {
    this.#heardAt = this.#deps.clock.monotonic()
    if (this.#silence.signal.aborted) this.#silence = new AbortController()
  }

  /** What gets lost is asked again, or ends the lease. */
  async #say(url: string, words: string): Promise<void> {
    try {
      const reply = await headOf(this.#deps.forward.ask(url, 'POST', `${leasesPath}?${words}`))
      reply.resume()
    } catch {
      // the lease ends by itself
    }
  }
}

interface Kept {
  readonly url: string
  readonly session: string
  /** What the owner tells comes in answer to it. */
  readonly inner: ClientRequest
  readonly signal: AbortSignal
}

/** Rejects when it does not come in time. */
async function headOf(inner: ClientRequest): Promise<IncomingMessage> {
  const late = setTimeout(() => inner.destroy(new Error('no answer in time')), headMs)
  try {
    const [reply] = (await once(inner, 'response')) as [IncomingMessage]
    return reply
  } finally {
    clearTimeout(late)
  }
}
