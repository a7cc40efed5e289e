/** Answers kept whole: what is asked most is given from memory, without disk, index or upstream. */
import type { IncomingMessage } from 'node:http'
import { LRUCache } from 'lru-cache'
import type { Kind } from '../observe/metrics.ts'
import type { RepositoryKey } from '../store/layout.ts'

/** How long an answer holds, and what ends it. */
export interface Lasting {
  /** Repositories of which any change ends it. */
  readonly keys: readonly RepositoryKey[]
  /** Milliseconds since the epoch; `Infinity` for what is asked by digest. */
  readonly until: number
  /** When upstream last confirmed the tag, for `Age`; undefined where nothing ages. */
  readonly checkedAt: number | undefined
}

export interface HotAnswer extends Lasting {
  /** Names and values in turns, as they go out each time. */
  readonly head: readonly string[]
  readonly body: Buffer
  readonly labels: { readonly upstream: string; readonly kind: Kind; readonly outcome: 'hit' }
  /** What the log line says of it each time, as JSON. */
  readonly told: { readonly path: string; readonly what: string }
}

/** Beside the body an entry takes about so much. */
const overheadBytes = 2048
/** A larger body would push out too many others. */
const maxBodyBytes = 256 * 1024
/** A use is noted once an hour: then the long way is taken. */
const noteEveryMs = 3_600_000

/** With one of these a request asks for more than the whole of what is there. */
const particulars = ['if-none-match', 'range', 'if-range', 'cdn-loop', 'expect', 'transfer-encoding'] as const

export class HotAnswers {
  readonly #answers: LRUCache<string, HotAnswer & { readonly keptAt: number }>
  /** Targets of the answers by repository. */
  readonly #targets = new Map<string, Set<string>>()
  #changes = 0

  /** @param maxBytes of all bodies, with what is around them */
  constructor(maxBytes: number) {
    this.#answers = new LRUCache({
      maxSize: maxBytes,
      sizeCalculation: ({ body }) => body.length + overheadBytes,
      dispose: ({ keys }, target) => this.#unlink(keys, target),
    })
  }

  /** Counts what has changed: an answer begun before a change is not to be kept after it. */
  get changes(): number {
    return this.#changes
  }

  /** @param now milliseconds since the epoch */
  find({ method, url, headers }: IncomingMessage, now: number): HotAnswer | undefined {
    if ((method !== 'GET' && method !== 'HEAD') || url === undefined) return undefined
    const found = this.#answers.get(url)
    if (!found || particulars.some(name => headers[name] !== undefined)) return undefined
    if (now < found.until && now >= found.keptAt && now - found.keptAt < noteEveryMs) return found
    this.#answers.delete(url)
    return undefined
  }

  /** @param since `changes` when the answer was begun */
  keep(target: string, answer: HotAnswer, { since, now }: { since: number; now: number }): void {
    if (since !== this.#changes || answer.body.length > maxBodyBytes) return
    this.#answers.set(target, { ...answer, keptAt: now })
    for (const key of answer.keys) {
      const name = nameOf(key)
      const targets = this.#targets.get(name) ?? new Set()
      this.#targets.set(name, targets.add(target))
    }
  }

  /** Something of the repository is not what it was. */
  drop(key: RepositoryKey): void {
    this.#changes += 1
    for (const target of this.#targets.get(nameOf(key)) ?? []) this.#answers.delete(target)
  }

  /** Names may lead elsewhere now. */
  clear(): void {
    this.#changes += 1
    this.#answers.clear()
  }

  #unlink(keys: readonly RepositoryKey[], target: string): void {
    for (const key of keys) {
      const targets = this.#targets.get(nameOf(key))
      targets?.delete(target)
      if (targets?.size === 0) this.#targets.delete(nameOf(key))
    }
  }
}

function nameOf({ registry, repository }: RepositoryKey): string {
  return `${registry} ${repository}`
}
