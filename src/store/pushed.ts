/** Bytes that local repositories hold. What cannot be read is an error here: nobody else has them. */
import { constants } from 'node:fs'
import { copyFile, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type Digest, isDigest } from '../oci/digest.ts'
import { withDescriptor } from '../runtime/descriptors.ts'
import type { Cached } from './cached.ts'
import { Claims } from './claims.ts'
import type { Contents, ReadableContents, StoredBlob } from './contents.ts'
import type { WholeFiles } from './files/durable.ts'
import { SharedFile } from './files/file.ts'
import { diskNames } from './files/names.ts'
import { ifThere, isCode } from './files/system-error.ts'
import { shardOf, shards } from './layout.ts'

/** File systems without hard links, other disks mounted within the store, and files that have too many names. */
const noLink = ['EPERM', 'EXDEV', 'EMLINK', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']

/** Gone through in one turn of the loop: well under a millisecond. */
const namesAtOnce = 256

/** Bytes that lie among the pushed ones. */
export interface PushedFile {
  readonly size: number
  /** When they were written, or got their name or another one. Milliseconds since the epoch. */
  readonly changedAt: number
  /** No cached ones share their place on the disk. */
  readonly isOnly: boolean
}

export interface PushedDeps {
  readonly files: WholeFiles
  readonly contents: Contents
  readonly cached: Cached
  /** Of all pushed bytes. */
  readonly folder: string
}

/** Bytes that local repositories hold, wherever they are kept. */
export interface PushedBytes extends ReadableContents {
  /** Durable when it resolves. The caller has verified the digest. */
  put(digest: Digest, content: Buffer): Promise<void>
  /** Takes in a file whose content is on disk already, as `put`. May be called again after a failure. */
  adopt(digest: Digest, path: string, sizeBytes: number): Promise<void>
  /**
   * Cached bytes become pushed ones too, durably: no eviction takes them any more. True also when they are pushed
   * already; false when they are not here.
   */
  pin(digest: Digest): Promise<boolean>
  /**
   * Within the task no collection takes the bytes: for who puts them or finds them here, and then writes the record
   * that names them.
   */
  claim<T>(digest: Digest, task: () => Promise<T>): Promise<T>
  /** What lies among the pushed bytes themselves; undefined: nothing. */
  look(digest: Digest): Promise<PushedFile | undefined>
  /** Whatever lies among them, some at a time. */
  digests(): AsyncGenerator<readonly Digest[]>
  /**
   * Takes the bytes away, unless somebody claims them. Who reads them goes on reading.
   *
   * @param isGarbage asked when nobody can claim them any more
   * @returns whether they are gone
   */
  remove(digest: Digest, isGarbage: () => boolean): Promise<boolean>
  /**
   * Moves the bytes to another place of the store, durably. Who reads them goes on reading.
   *
   * @param isIt asked with the file's inode when nobody can claim the bytes any more
   * @returns whether they are gone; undefined: somebody claims them
   */
  setAside(digest: Digest, to: string, isIt: (inode: number) => boolean): Promise<boolean | undefined>
  /** Another process took the bytes away, and they may still lie elsewhere. */
  forget(digest: Digest): void
}

/** On the disk: looks among the pushed bytes first, and then among the cached ones. */
export class Pushed implements PushedBytes {
  readonly #files: WholeFiles
  readonly #contents: Contents
  readonly #cached: Cached
  readonly #folder: string
  readonly #claims = new Claims()

  constructor({ files, contents, cached, folder }: PushedDeps) {
    this.#folder = folder
    this.#files = files
    this.#contents = contents
    this.#cached = cached
  }

  async open(digest: Digest): Promise<StoredBlob | undefined> {
    return (await this.#contents.open(digest)) ?? (await this.#cached.open(digest))
  }

  async size(digest: Digest): Promise<number | undefined> {
    return (await this.#contents.size(digest)) ?? (await this.#cached.size(digest))
  }

  async read(digest: Digest): Promise<Buffer | undefined> {
    return (await this.#contents.read(digest)) ?? (await this.#cached.read(digest))
  }

  put(digest: Digest, content: Buffer): Promise<void> {
    return this.#contents.put(digest, content)
  }

  adopt(digest: Digest, path: string, sizeBytes: number): Promise<void> {
    return this.#contents.adopt(digest, path, sizeBytes)
  }

  async pin(digest: Digest): Promise<boolean> {
    if ((await this.#contents.size(digest)) === undefined && !(await this.#pinCached(digest))) return false
    await this.#files.folders.sync(dirname(this.#contents.path(digest))) // of who put them first, too
    return true
  }

  claim<T>(digest: Digest, task: () => Promise<T>): Promise<T> {
    return this.#claims.claim(digest, task)
  }

  async look(digest: Digest): Promise<PushedFile | undefined> {
    const found = await ifThere(stat(this.#contents.path(digest)))
    if (!found) return undefined
    const { size, mtimeMs, ctimeMs, nlink } = found
    return { size, changedAt: Math.max(mtimeMs, ctimeMs), isOnly: nlink < 2 }
  }

  async *digests(): AsyncGenerator<readonly Digest[]> {
    for (const shard of shards) {
      const [algorithm = ''] = shard.split('/')
      for await (const names of diskNames.in(join(this.#folder, shard), namesAtOnce))
        yield names
          .map(name => `${algorithm}:${name}`)
          .filter(isDigest)
          .filter(digest => shardOf(digest) === shard)
    }
  }

  async remove(digest: Digest, isGarbage: () => boolean): Promise<boolean> {
    const doomed = await this.#claims.unlessClaimed(digest, async () =>
      isGarbage() ? this.#contents.moveAway(digest) : undefined,
    )
    if (doomed === undefined) return false
    await rm(doomed, { force: true }) // behind the claims: of a large file it takes a while
    return true
  }

  setAside(digest: Digest, to: string, isIt: (inode: number) => boolean): Promise<boolean | undefined> {
    const path = this.#contents.path(digest)
    return this.#claims.unlessClaimed(digest, async () => {
      const found = await ifThere(stat(path))
      if (!found || !isIt(found.ino)) return false
      await this.#files.move(path, to, { durable: false })
      this.#contents.forget(digest)
      for (const folder of [dirname(to), dirname(path)]) await this.#files.folders.sync(folder)
      return true
    })
  }

  forget(digest: Digest): void {
    this.#contents.forget(digest)
  }

  async #pinCached(digest: Digest): Promise<boolean> {
    const size = await this.#cached.size(digest)
    if (size === undefined) return false
    const from = this.#cached.path(digest)
    try {
      await this.#contents.link(digest, from, size)
      return true
    } catch (error) {
      if (isCode(error, 'ENOENT')) return false // evicted meanwhile
      if (!isCode(error, ...noLink)) throw error
    }
    return this.#copy(digest, from, size)
  }

  async #copy(digest: Digest, from: string, size: number): Promise<boolean> {
    const scratch = this.#files.scratch()
    try {
      await withDescriptor(() =>
        copyFile(from, scratch, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE),
      )
      await synced(scratch)
      await this.#contents.adopt(digest, scratch, size)
      return true
    } catch (error) {
      await rm(scratch, { force: true })
      if (isCode(error, 'ENOENT')) return false
      throw error
    }
  }
}

async function synced(path: string): Promise<void> {
  const file = await SharedFile.open(path, 'r+')
  try {
    await file.sync()
  } finally {
    file.release()
  }
}
