/** What changes, told to the servers: from the beginning to the end of a change they ask the primary about the repository. */
import type { Index, RepositoryKey } from '../../index/index.ts'
import { systemClock } from '../../runtime/clock.ts'
import { keyText } from '../../store/layout.ts'
import type { Servers } from './servers.ts'

/** Servers that may not read the index are told soon when they may again. */
const retryMs = 1000

export class Changes {
  readonly #index: Index
  readonly #servers: Pick<Servers, 'tell' | 'send'>
  readonly #signal: AbortSignal
  readonly #underWay = new Map<string, { readonly key: RepositoryKey; count: number }>()
  #isWaiting = false

  constructor(index: Index, servers: Pick<Servers, 'tell' | 'send'>, signal: AbortSignal) {
    this.#index = index
    this.#servers = servers
    this.#signal = signal
  }

  /** For a server that starts now; a repository is named once for each change. */
  get underWay(): readonly RepositoryKey[] {
    return [...this.#underWay.values()].flatMap(({ key, count }) => Array.from({ length: count }, () => key))
  }

  /** Resolves when no server answers for the repository any more. */
  async begin(key: RepositoryKey): Promise<void> {
    const name = keyText(key)
    const entry = this.#underWay.get(name) ?? { key, count: 0 }
    entry.count += 1
    this.#underWay.set(name, entry)
    await this.#servers.tell({ kind: 'changing', key })
  }

  /** When this resolves, who reads the index reads what is true now. */
  async end(key: RepositoryKey): Promise<void> {
    const index = await this.#index.share()
    const name = keyText(key)
    const entry = this.#underWay.get(name)
    if (entry) entry.count -= 1
    if (entry?.count === 0) this.#underWay.delete(name)
    this.#servers.send({ kind: 'changed', key, index })
    if (!index) void this.#untilShared()
  }

  async #untilShared(): Promise<void> {
    if (this.#isWaiting) return
    this.#isWaiting = true
    try {
      for (let index = await this.#index.share(); ; index = await this.#index.share()) {
        if (index) return this.#servers.send({ kind: 'index', index })
        await systemClock.sleep(retryMs, this.#signal)
      }
    } catch {
      // the stop ends it
    } finally {
      this.#isWaiting = false
    }
  }
}
