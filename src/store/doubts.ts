/** Files that were written shortly before the store was left without being closed: nobody gets one before its digest was computed. */
import { fstatSync, type Stats } from 'node:fs'
import { algorithmOf, type Digest } from '../oci/digest.ts'
import { latest } from '../runtime/latest.ts'
import type { Span } from './files/life.ts'
import type { OpenFile } from './files/open-files.ts'
import { digestOfFile } from './files/sound.ts'

export interface DoubtsDeps {
  readonly span: Span
  /** Told, before anybody else is, of a file that is not what its name says. */
  readonly condemn: (digest: Digest, inode: number) => Promise<void>
  readonly digestOf?: typeof digestOfFile
}

/** To have forgotten a file costs computing its digest again. */
const maxKnown = 10_000

export class Doubts {
  readonly #deps: DoubtsDeps
  /** Whether a file is sound, by what tells it from another that comes in its place. */
  readonly #known = latest<string, Promise<boolean>>(maxKnown)
  readonly #closing = new AbortController()

  constructor(deps: DoubtsDeps) {
    this.#deps = deps
  }

  /** Whether it was written in that time. */
  cover({ mtimeMs }: Pick<Stats, 'mtimeMs'>): boolean {
    const { from, to } = this.#deps.span
    return mtimeMs >= from && mtimeMs < to
  }

  /** Looks once for all who ask. Rejects when it cannot be told, for the next one to look again. */
  async isSound(digest: Digest, stored: OpenFile): Promise<boolean> {
    const found = fstatSync(stored.file.fd)
    if (!this.cover(found)) return true
    const name = `${found.ino} ${found.mtimeMs} ${digest}`
    const known = this.#known.get(name)
    if (known) return known
    const looking = this.#look(digest, stored, found.ino)
    this.#known.set(name, looking)
    looking.catch(() => this.#known.delete(name))
    return looking
  }

  /** Whoever waits gets an error. */
  close(): void {
    this.#closing.abort()
  }

  async #look(digest: Digest, stored: OpenFile, inode: number): Promise<boolean> {
    // Once more, since much may depend on it: memory and cables flip bits too.
    if ((await this.#isRight(digest, stored)) || (await this.#isRight(digest, stored))) return true
    await this.#deps.condemn(digest, inode)
    return false
  }

  async #isRight(digest: Digest, stored: OpenFile): Promise<boolean> {
    const { digestOf = digestOfFile } = this.#deps
    return (await digestOf(algorithmOf(digest), stored, this.#closing.signal)) === digest
  }
}
