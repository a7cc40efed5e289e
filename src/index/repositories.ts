/** Which repositories anything is held of, proxied and local, under their full names. */
import { setImmediate } from 'node:timers/promises'
import type { RepositoryName } from '../oci/name.ts'
import { localRegistry } from '../store/layout.ts'
import type { Index, Page } from './index.ts'
import type { Holdings } from './local/holdings.ts'

export interface RepositoriesDeps {
  readonly index: Index
  readonly holdings: Holdings
}

const countedAtOnce = 1000

/** Everything is in byte order. @throws RegistryError UNAVAILABLE (503) while the index does not know them whole */
export class Repositories {
  readonly #deps: RepositoriesDeps

  constructor(deps: RepositoriesDeps) {
    this.#deps = deps
  }

  /** Full names: `docker.io/library/nginx`, `local/team/app`. */
  async page({ last, limit }: Page): Promise<readonly string[]> {
    const names = new Set<string>() // a local repository may have the full name of one that it lies over
    for (const registry of await this.#registries()) {
      const prefix = registry === localRegistry ? '' : `${registry}/`
      if (last !== undefined && last > prefix && !last.startsWith(prefix)) continue // all of its names come before
      const after = last?.startsWith(prefix) ? last.slice(prefix.length) : undefined
      for (const name of await this.of(registry, { last: after, limit })) names.add(prefix + name)
    }
    return [...names].sort().slice(0, limit)
  }

  /** Names of one registry's repositories; of `_local`: the full ones of local repositories. */
  of(registry: string, page: Page): Promise<readonly RepositoryName[]> {
    const { index, holdings } = this.#deps
    return holdings.completion.untilKnown(async () => {
      const found = await index.repositories(registry, page)
      if (found.answer !== 'unknown') return found.answer === 'present' ? found.value : []
      await holdings.completion.repositories()
      return undefined
    })
  }

  async count(registry: string): Promise<number> {
    let count = 0
    for (let last: string | undefined; ; await setImmediate()) {
      const found = await this.of(registry, { last, limit: countedAtOnce })
      count += found.length
      last = found.at(-1)
      if (found.length < countedAtOnce) return count
    }
  }

  /** Known only when all repositories are. */
  async #registries(): Promise<readonly string[]> {
    await this.of(localRegistry, { last: undefined, limit: 0 })
    return this.#deps.index.registries()
  }
}
