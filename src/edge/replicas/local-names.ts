/** Requests on local names: answered here by the owner, handed on to it by every other replica (docs/adr/0010). */

import type { Lease } from '../../cluster/owner/lease.ts'
import type { Owner, Ownership, Standing } from '../../cluster/owner/ownership.ts'
import { RegistryError } from '../../oci/errors.ts'
import type { RepositoryKey } from '../../store/layout.ts'
import { type Answer, discard } from '../answer.ts'
import { type Exchange, isReading } from '../exchange.ts'
import type { HotPath } from '../memory/hot-path.ts'
import { gathered } from '../memory/warm.ts'
import { NotTaken, type OwnerForward } from './owner-forward.ts'
import { bytesHeader, notOwnerHeader } from './replica-origin.ts'

export interface LocalNamesDeps {
  readonly ownership: Ownership
  readonly forward: Pick<OwnerForward, 'answer'>
  readonly hotPath: HotPath
  /** By whose leave the owner's answers are kept; undefined: they are not. */
  readonly lease: () => Lease | undefined
  /** Aborted while the owner says nothing. */
  readonly silence: () => AbortSignal
  readonly publicPath: () => string
}

/** What is asked of a local name. */
export interface LocalAsk {
  /** Answers as the owner does. */
  readonly here: (under: Standing | undefined) => Promise<Answer>
  /** What has to stay as it is for the answer to be given again; undefined: it is not kept. */
  readonly keys?: readonly RepositoryKey[] | undefined
  /** Undefined: it is nothing of which the owner leaves the bytes to others. */
  readonly left?: BytesLeft | undefined
}

/** Bytes that the owner need not send, as this replica has them or gets them by itself. */
export interface BytesLeft {
  canGive(): Promise<boolean>
  /** @param size as the owner says. Rejects where they are not to be had after all */
  give(size: number): Promise<Answer>
}

export interface LocalNames {
  /** @throws RegistryError UNAVAILABLE (503) when there is no owner for some time */
  answer(exchange: Exchange, ask: LocalAsk): Promise<Answer>
}

/** So long a request waits for an owner. */
const patienceMs = 5_000
/** A new owner takes on at most so long after the last was killed. */
const retryAfterMs = 5_000

/** Where there is one replica, everything is answered here. */
export const ownLocalNames: LocalNames = { answer: (_, { here }) => here(undefined) }

export class SharedLocalNames implements LocalNames {
  readonly #deps: LocalNamesDeps
  /** Requests that are being answered here, by the term. */
  readonly #answering = new Map<Standing, number>()

  constructor(deps: LocalNamesDeps) {
    this.#deps = deps
  }

  async answer(exchange: Exchange, ask: LocalAsk): Promise<Answer> {
    const patience = AbortSignal.timeout(patienceMs)
    for (;;) {
      const { owner } = this.#deps.ownership
      if (owner.kind === 'none' && owner.because !== undefined) throw nobody(owner.because)
      const answer = await this.#tried(exchange, ask, owner)
      if (answer) return answer
      if (exchange.response.destroyed) throw new Error('the client has left')
      if (patience.aborted) throw noOwner()
      await this.#another(patience)
    }
  }

  /** How many requests are being answered here. */
  get answering(): number {
    return [...this.#answering.values()].reduce((sum, count) => sum + count, 0)
  }

  /** Undefined: nothing of it has been carried out, and another replica may be asked. */
  async #tried(exchange: Exchange, ask: LocalAsk, owner: Owner): Promise<Answer | undefined> {
    if (owner.kind === 'self') return this.#here(exchange, ask, owner.term)
    if (exchange.fromReplica) throw notOwner()
    if (owner.kind === 'none') return undefined
    return this.#there(exchange, ask, owner.url)
  }

  /** What was found out while the term ran, and nothing else, is answered. */
  async #here(exchange: Exchange, { here }: LocalAsk, term: Standing): Promise<Answer | undefined> {
    this.#answering.set(term, (this.#answering.get(term) ?? 0) + 1)
    try {
      const answer = await here(term)
      if (term.holds) return answer
      discard(answer.content)
    } catch (error) {
      if (term.holds) throw error
    } finally {
      const left = (this.#answering.get(term) ?? 1) - 1
      if (left > 0) this.#answering.set(term, left)
      else this.#answering.delete(term)
    }
    if (exchange.fromReplica) throw isReading(exchange) ? notOwner() : termOver()
    if (isReading(exchange)) return undefined
    throw termOver()
  }

  async #there(exchange: Exchange, { keys, left }: LocalAsk, url: string): Promise<Answer | undefined> {
    const { forward, hotPath, lease, publicPath, ownership } = this.#deps
    const given = lease()
    given?.use()
    const begun = hotPath.begin(exchange)
    const over = new AbortController()
    try {
      const gone = this.#leaves(ownership, url, over.signal)
      const ask = (fetchesBytes: boolean) =>
        forward.answer({ ...exchange, publicPath: publicPath(), fetchesBytes }, url, gone)
      const answer = await ask((await left?.canGive()) ?? false)
      const size = answer.headers[bytesHeader]
      if (left && size !== undefined) return await left.give(Number(size)).catch(() => ask(false))
      if (!keys || !given || begun.target === undefined) return answer
      const whole = await gathered(answer, hotPath.worthBytes(exchange, begun))
      hotPath.keep(exchange, whole, { ...begun, keys, under: given })
      return whole
    } catch (error) {
      if (!(error instanceof NotTaken)) throw error
      ownership.doubt()
      return undefined
    } finally {
      over.abort()
    }
  }

  /** Aborted when that replica is not the owner any more, or says nothing. */
  #leaves(ownership: Ownership, url: string, over: AbortSignal): AbortSignal {
    const gone = new AbortController()
    const watch = async () => {
      while (isAt(ownership.owner, url)) await ownership.changed(over)
      gone.abort()
    }
    watch().catch(() => {}) // nobody waits any more
    return AbortSignal.any([gone.signal, this.#deps.silence()])
  }

  /** Resolves when there may be another owner, or soon. */
  async #another(patience: AbortSignal): Promise<void> {
    const soon = AbortSignal.any([patience, AbortSignal.timeout(againMs)])
    await this.#deps.ownership.changed(soon).catch(() => {}) // it is looked again either way
  }
}

const againMs = 200

function isAt(owner: Owner, url: string): boolean {
  return owner.kind === 'other' && owner.url === url
}

function noOwner(): RegistryError {
  const message = 'no replica owns the local names at the moment: try again'
  return new RegistryError('UNAVAILABLE', message, { retryAfterMs })
}

function nobody(because: string): RegistryError {
  return new RegistryError('UNAVAILABLE', because, { retryAfterMs: 60_000 })
}

function termOver(): RegistryError {
  const message = 'the owner of local names changed meanwhile: try again'
  return new RegistryError('UNAVAILABLE', message, { retryAfterMs: 1_000 })
}

function notOwner(): RegistryError {
  const message = 'this replica does not own the local names: try again'
  return new RegistryError('UNAVAILABLE', message, {
    retryAfterMs: 1_000,
    headers: { [notOwnerHeader]: '1' },
  })
}
