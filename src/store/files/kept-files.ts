/** Files kept open for whoever wants them next: a bounded number, given back when descriptors run out. */
import { LRUCache } from 'lru-cache'
import { keepsDescriptors } from '../../runtime/descriptors.ts'
import { allClosed, type SharedFile } from './file.ts'

export class KeptFiles {
  readonly #files: LRUCache<string, SharedFile>
  readonly #keeping = keepsDescriptors(() => this.#giveBack())

  constructor(max: number) {
    this.#files = new LRUCache({ max, dispose: file => file.release() })
  }

  /** To be retained, or shared, at once: it may be closed at any time. */
  get(path: string): SharedFile | undefined {
    return this.#files.get(path)
  }

  /** Releases it in the caller's stead, sooner or later. */
  keep(path: string, file: SharedFile): void {
    this.#files.set(path, file)
  }

  /** Closes it, once nobody uses it any more. */
  forget(path: string): void {
    this.#files.delete(path)
  }

  close(): void {
    this.#files.clear()
    this.#keeping[Symbol.dispose]()
  }

  #giveBack(): Promise<void> {
    this.#files.clear()
    return allClosed()
  }
}
