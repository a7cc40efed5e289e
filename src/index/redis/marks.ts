/** What says that a listing is known whole: made in the epoch in which that was found, once what earlier ones left is gone. */
import { localRegistry } from '../../store/layout.ts'
import type { RepositoryKey, Whole } from '../index.ts'
import { answerOr } from './entries.ts'
import { keyOfWhole, lifeOf, markName } from './keys.ts'
import type { Names } from './names.ts'
import { type Swept, sweep } from './sweep.ts'

export interface MarksDeps extends Swept {
  readonly names: Names
  /** In force at the moment. */
  readonly epoch: () => string
}

/** Writes never fail. A mark of another epoch than the one in force is not made. */
export class Marks {
  readonly #deps: MarksDeps

  constructor(deps: MarksDeps) {
    this.#deps = deps
  }

  async put(key: RepositoryKey, what: Whole, epoch: string): Promise<void> {
    const { shelf, stamps } = this.#deps
    const stamp = stamps.mark(key, shelf.era.stamp)
    if (!stamp || epoch !== this.#deps.epoch()) return
    if (key.registry === localRegistry) await answerOr(() => sweep(key, what, this.#deps), undefined)
    if (epoch !== this.#deps.epoch()) return
    await shelf.put(keyOfWhole(what, key), lifeOf(key.registry), [[markName(what), stamp]])
  }

  async drop(key: RepositoryKey, what: Whole): Promise<void> {
    const marks = typeof what === 'string' ? [markName(what)] : [markName(what), markName('referrers')]
    await this.#deps.shelf.drop(keyOfWhole(what, key), marks)
  }

  /** Of all repositories there are. */
  async putRepositories(epoch: string): Promise<void> {
    const { shelf, stamps, names } = this.#deps
    const era = shelf.era.stamp
    const { own } = stamps
    if (!era || epoch !== this.#deps.epoch()) return
    await answerOr(() => names.sweep(era, own), undefined)
    if (epoch === this.#deps.epoch()) await names.mark(era, own)
  }
}
