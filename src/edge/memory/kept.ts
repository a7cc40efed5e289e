/** Answers by the target of their request, the least recently used given up first, and ended by any change of what they tell of. */
import { LRUCache } from 'lru-cache'
import type { Standing } from '../../cluster/owner/ownership.ts'
import { wasLately } from '../../index/noted-times.ts'
import { keyText, type RepositoryKey } from '../../store/layout.ts'

/** How long an answer holds, what ends it, and what it takes. */
export interface Lasting {
  /** Repositories of which any change ends it. */
  readonly keys: readonly RepositoryKey[]
  /** Milliseconds since the epoch; `Infinity` for what is asked by digest. */
  readonly until: number
  /** Of its body. */
  readonly bytes: number
  /** It is given only while this holds; undefined: always. */
  readonly under?: Standing | undefined
}

/** Beside its body and its target an entry takes about so much. */
const overheadBytes = 2048

export class Kept<T extends Lasting> {
  readonly #answers: LRUCache<string, { readonly answer: T; readonly keptAt: number }>
  /** Targets of the answers by repository. */
  readonly #targets = new Map<string, Set<string>>()

  /** @param maxBytes of all bodies, with what is around them */
  constructor(maxBytes: number) {
    this.#answers = new LRUCache({
      maxSize: maxBytes,
      sizeCalculation: ({ answer }, target) => answer.bytes + target.length + overheadBytes,
      dispose: ({ answer }, target) => this.#unlink(answer.keys, target),
    })
  }

  /** @param now milliseconds since the epoch */
  find(target: string, now: number): T | undefined {
    const found = this.#answers.get(target)
    if (!found) return undefined
    const { answer, keptAt } = found
    // Once an hour the long way is taken, so that the use is noted.
    const isDue = now < answer.until && now >= keptAt && wasLately(keptAt, now)
    if (isDue && answer.under?.holds !== false) return answer
    this.#answers.delete(target)
    return undefined
  }

  keep(target: string, answer: T, now: number): void {
    this.#answers.set(target, { answer, keptAt: now })
    if (!this.#answers.has(target)) return // larger than all that may be kept
    for (const key of answer.keys) {
      const name = keyText(key)
      const targets = this.#targets.get(name) ?? new Set()
      this.#targets.set(name, targets.add(target))
    }
  }

  drop(key: RepositoryKey): void {
    for (const target of this.#targets.get(keyText(key)) ?? []) this.#answers.delete(target)
  }

  clear(): void {
    this.#answers.clear()
  }

  #unlink(keys: readonly RepositoryKey[], target: string): void {
    for (const key of keys) {
      const targets = this.#targets.get(keyText(key))
      targets?.delete(target)
      if (targets?.size === 0) this.#targets.delete(keyText(key))
    }
  }
}
