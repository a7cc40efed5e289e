/** Answers kept whole: what is asked most is given from memory, without disk, index or upstream. */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { LRUCache } from 'lru-cache'
import type { Question } from '../../access/question.ts'
import { signatureHeader } from '../../cluster/peers/signature.ts'
import type { Tally } from '../../observe/tally.ts'
import { keyText, type RepositoryKey } from '../../store/layout.ts'
import type { Answer } from '../answer.ts'
import type { Facts } from '../exchange.ts'
import { Kept, type Lasting } from './kept.ts'

/** Small enough to be given without watching whether the client takes it. */
export interface HotAnswer extends Lasting {
  /** What those have to be allowed who get it; undefined: nothing is configured. */
  readonly question: Question | undefined
  /** When upstream last confirmed the tag, for `Age`; undefined where nothing ages. */
  readonly checkedAt: number | undefined
  /** As it was given the first time; made ready when it is given again, which most answers are not. */
  form: FirstAnswer | ReadyMade
}

export interface FirstAnswer {
  readonly path: string
  readonly answer: Answer
  readonly body: Buffer
  readonly facts: Readonly<Facts>
}

export interface ReadyMade {
  /** Names and values in turns, as they go out each time. */
  readonly head: readonly string[]
  /** A string has its bytes as characters. */
  readonly body: string | Buffer
  readonly tally: Tally
  /** What the log line says of it each time, as JSON: of a GET, of a HEAD, and of what they gave. */
  readonly told: { readonly get: string; readonly head: string; readonly what: string }
}

/** Larger, and sent like any other: with an eye on the client. */
export interface WarmAnswer extends Lasting {
  readonly answer: Answer
  /** As they were when nothing had been sent. */
  readonly facts: Readonly<Facts>
}

/** As much as goes to a socket in one write. */
export const hotBytes = 64 * 1024
/** A larger one would push out too many others. */
const warmBytes = 2 * 1024 * 1024
/** No name needs more: what stands behind it a client could make up for ever. */
const maxTargetLength = 1024
/** What is asked for twice within so long is likely to be asked for again. */
const againMs = 60_000
const maxAsked = 4096

export class HotAnswers {
  readonly hot: Kept<HotAnswer>
  readonly warm: Kept<WarmAnswer>
  /** How often large answers were asked for lately. */
  readonly #asked = new LRUCache<string, number>({ max: maxAsked, ttl: againMs })
  /** Repositories that change right now, and how many times over. */
  readonly #changing = new Map<string, number>()
  #changes = 0

  /** @param maxBytes half of it for each: however many large ones are asked for, the small ones stay */
  constructor(maxBytes: number) {
    const half = Math.floor(maxBytes / 2)
    this.hot = new Kept(half)
    this.warm = new Kept(half)
  }

  /** Counts what has changed: an answer begun before a change is not to be kept after it. */
  get changes(): number {
    return this.#changes
  }

  /** How large an answer is to be read whole: a large one at the second time within a minute, and for nobody else then. */
  worthBytes(target: string): number {
    const times = (this.#asked.get(target) ?? 0) + 1
    this.#asked.set(target, times, { noUpdateTTL: true })
    return times === 2 ? warmBytes : hotBytes
  }

  /** Nothing of the repository is kept until `changed`: who has seen the new is not to see the old after it. */
  changing(key: RepositoryKey): void {
    const name = keyText(key)
    this.#changing.set(name, (this.#changing.get(name) ?? 0) + 1)
    this.drop(key)
  }

  changed(key: RepositoryKey): void {
    const name = keyText(key)
    const left = (this.#changing.get(name) ?? 0) - 1
    if (left > 0) this.#changing.set(name, left)
    else this.#changing.delete(name)
    this.drop(key)
  }

  isChanging(key: RepositoryKey): boolean {
    return this.#changing.size > 0 && this.#changing.has(keyText(key))
  }

  /** Something of the repository is not what it was. */
  drop(key: RepositoryKey): void {
    this.#changes += 1
    this.hot.drop(key)
    this.warm.drop(key)
  }

  /** Names may lead elsewhere now. */
  clear(): void {
    this.#changes += 1
    this.hot.clear()
    this.warm.clear()
  }
}

/** What is asked for, if that is the whole of what is there. */
export function targetOf({ method, url, headers }: IncomingMessage): string | undefined {
  if ((method !== 'GET' && method !== 'HEAD') || isParticular(headers)) return undefined
  if (url !== undefined && url.length > maxTargetLength) return undefined
  // A pusher may rely on what a HEAD finds, which has to be noted.
  return method === 'HEAD' && url?.includes('/blobs/') ? undefined : url
}

function isParticular(headers: IncomingHttpHeaders): boolean {
  return (
    headers['if-none-match'] !== undefined ||
    headers.range !== undefined ||
    headers['if-range'] !== undefined ||
    headers['cdn-loop'] !== undefined ||
    headers.expect !== undefined ||
    headers[signatureHeader] !== undefined ||
    headers['transfer-encoding'] !== undefined
  )
}
