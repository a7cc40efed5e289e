/** Bytes that local repositories hold, in the object store: what the disk has of them is a cache. */
import { rm } from 'node:fs/promises'
import { algorithmOf, type Digest, digestOf, isDigest } from '../../oci/digest.ts'
import type { Cached } from '../cached.ts'
import { Claims } from '../claims.ts'
import type { StoredBlob } from '../contents.ts'
import type { Capacity } from '../eviction/capacity.ts'
import { SharedFile } from '../files/file.ts'
import { ifThere } from '../files/system-error.ts'
import { shards } from '../layout.ts'
import type { PushedBytes, PushedFile } from '../pushed.ts'
import type { SharedBytes } from './bytes.ts'
import { bytesKey } from './keys.ts'

/** Of the room on the disk, as names of registries are. */
const owner = 'local'

export interface SharedPushedDeps {
  readonly bytes: SharedBytes
  readonly cached: Cached
  /** Undefined: as much as the disk takes. */
  readonly capacity: Capacity | undefined
  /** Throws when this process may not take anything away any more. */
  readonly assertOwner: () => void
  /** Resolves when what was asked of the object store, and not answered, is not going to be carried out any more. */
  readonly untilOver: () => Promise<void>
}

/** Everything rejects with ObjectsFailure where the object store is needed and does not answer. */
export class SharedPushed implements PushedBytes {
  readonly #deps: SharedPushedDeps
  readonly #claims = new Claims()

  constructor(deps: SharedPushedDeps) {
    this.#deps = deps
  }

  /** Of the disk alone: what only the object store has comes from there along a flight. */
  open(digest: Digest): Promise<StoredBlob | undefined> {
    return this.#deps.cached.open(digest)
  }

  async size(digest: Digest): Promise<number | undefined> {
    return (await this.#deps.cached.size(digest)) ?? (await this.look(digest))?.size
  }

  async read(digest: Digest): Promise<Buffer | undefined> {
    const { cached, bytes } = this.#deps
    const here = await cached.read(digest)
    if (here && digestOf(here, algorithmOf(digest)) === digest) return here
    const content = await bytes.readPushed(digest)
    if (content) await this.#keep(digest, content)
    return content
  }

  async put(digest: Digest, content: Buffer): Promise<void> {
    await this.#deps.bytes.use(bucket => bucket.put(bytesKey('pushed', digest), content))
    await this.#keep(digest, content)
  }

  async adopt(digest: Digest, path: string, sizeBytes: number): Promise<void> {
    const file = await ifThere(SharedFile.open(path, 'r'))
    if (!file) {
      if (await this.look(digest)) return // an earlier try did it
      throw Object.assign(new Error(`${path} is gone`), { code: 'ENOENT' })
    }
    try {
      await this.look(digest) // where nobody answers a client learns of it soon
      if (!(await this.#deps.bytes.putFile('pushed', digest, { file, size: sizeBytes })))
        throw new Error(`${path} does not have the digest ${digest} any more`)
    } finally {
      file.release()
    }
    await this.#keepFile(digest, path, sizeBytes)
  }

  async pin(digest: Digest): Promise<boolean> {
    const { bytes, cached } = this.#deps
    if (await this.look(digest)) return true
    const stored = await cached.open(digest)
    try {
      const there = await bytes.cachedSize(digest)
      const isSame = there !== undefined && (!stored || there === stored.size)
      if (isSame && (await bytes.pinCached(digest))) return true
      return stored !== undefined && (await bytes.putFile('pushed', digest, stored))
    } finally {
      stored?.file.release()
    }
  }

  claim<T>(digest: Digest, task: () => Promise<T>): Promise<T> {
    return this.#claims.claim(digest, task)
  }

  async look(digest: Digest): Promise<PushedFile | undefined> {
    const found = await this.#deps.bytes.use(bucket => bucket.head(bytesKey('pushed', digest)))
    return found && { size: found.size, changedAt: found.changedAt, isOnly: true }
  }

  async *digests(): AsyncGenerator<readonly Digest[]> {
    const algorithms = new Set(shards.map(shard => shard.split('/')[0] ?? ''))
    for (const algorithm of algorithms) {
      for (let after: string | undefined, isFirst = true; isFirst || after !== undefined; isFirst = false) {
        const page = await this.#deps.bytes.use(bucket => bucket.list(`pushed/${algorithm}/`, { after }))
        yield page.objects
          .map(({ key }) => ({ key, digest: `${algorithm}:${key.slice(key.lastIndexOf('/') + 1)}` }))
          .filter(({ key, digest }) => isDigest(digest) && key === bytesKey('pushed', digest))
          .map(({ digest }) => digest as Digest)
        after = page.next
      }
    }
  }

  async remove(digest: Digest, isGarbage: () => boolean): Promise<boolean> {
    const removed = await this.#claims.unlessClaimed(digest, async () => {
      if (!isGarbage()) return false
      this.#deps.assertOwner() // others have leant on the bytes, if we slept
      return this.#takeAway(digest)
    })
    return removed ?? false
  }

  /** Who brings the bytes again waits for its end, also of a request that nobody answered: it may be carried out yet. */
  async #takeAway(digest: Digest): Promise<boolean> {
    const { bytes, untilOver } = this.#deps
    try {
      return await bytes.use(bucket => bucket.remove(bytesKey('pushed', digest)))
    } catch (error) {
      await untilOver()
      throw error
    }
  }

  /** The disk has none but cached ones, which are dropped where they are damaged. */
  async setAside(): Promise<boolean> {
    return false
  }

  forget(): void {} // nothing is kept open but what is cached

  /** The object store has it: a disk that does not take it too fails no push. */
  async #keep(digest: Digest, content: Buffer): Promise<void> {
    await this.#deps.cached.put(digest, content, owner).catch(() => false)
  }

  async #keepFile(digest: Digest, path: string, sizeBytes: number): Promise<void> {
    const { cached, capacity } = this.#deps
    const reservation = await capacity?.reserve(owner, sizeBytes).catch(() => undefined)
    try {
      if (reservation || !capacity) await cached.adopt(digest, path, sizeBytes, reservation)
    } catch {
      // It is read from the object store when somebody asks for it.
    } finally {
      reservation?.release()
      await rm(path, { force: true })
    }
  }
}
