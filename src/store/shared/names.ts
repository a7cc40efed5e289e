/** The folders of records as an object store lists them; those of local repositories lie there, the others on the disk. */

import type { RecordNames } from '../files/names.ts'
import type { Layout } from '../layout.ts'
import { keyOf } from './keys.ts'
import type { Tier } from './tier.ts'

const pageSize = 1000

export class ObjectNames implements RecordNames {
  readonly #tier: Tier
  readonly #layout: Layout

  constructor(tier: Tier, layout: Layout) {
    this.#tier = tier
    this.#layout = layout
  }

  /** In byte order. */
  async *in(folder: string, count: number): AsyncGenerator<readonly string[]> {
    const prefix = `${keyOf(this.#layout, folder)}/`
    const limit = count === 1 ? 1 : pageSize // who wants one wants to know whether there is any
    for (let after: string | undefined, isFirst = true; isFirst || after !== undefined; isFirst = false) {
      const ask = { delimiter: '/', after, limit } as const
      const { objects, prefixes, next } = await this.#tier.use(bucket => bucket.list(prefix, ask))
      const names = [
        ...objects.map(({ key }) => key.slice(prefix.length)),
        ...prefixes.map(whole => whole.slice(prefix.length, -1)),
      ].filter(name => name !== '') // consoles make an object for a folder itself
      for (let at = 0; at < names.length; at += count) yield names.slice(at, at + count)
      after = next
    }
  }

  /** What it lists is all there is. */
  async isThere(): Promise<boolean> {
    return true
  }
}

export class RoutedNames implements RecordNames {
  readonly #route: (folder: string) => RecordNames

  constructor(route: (folder: string) => RecordNames) {
    this.#route = route
  }

  in(folder: string, count: number): AsyncGenerator<readonly string[]> {
    return this.#route(folder).in(folder, count)
  }

  isThere(folder: string): Promise<boolean> {
    return this.#route(folder).isThere(folder)
  }
}
