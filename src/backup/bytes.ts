/** The bytes of a backup: brought from the store as far as they are not there, and taken away when no record needs them. */
import { readFile, stat, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { pushedFiles } from '../index/folders.ts'
import { algorithmOf, type Digest, digestOf, hexOf } from '../oci/digest.ts'
import { ifThere } from '../store/files/system-error.ts'
import type { Layout } from '../store/layout.ts'
import { copySound, isSound } from './copy.ts'
import { Damaged, readable } from './failure.ts'
import type { BackupFolder } from './folder.ts'

const defaultLookAgainMs = 200

export interface BackupBytesDeps {
  readonly store: Layout
  readonly folder: BackupFolder
  /** What is there is read again. */
  readonly verify: boolean
  /** After what is not there. */
  readonly lookAgainMs?: number
}

export interface Copied {
  files: number
  bytes: number
}

export class BackupBytes {
  readonly copied: Copied = { files: 0, bytes: 0 }
  readonly #deps: BackupBytesDeps
  /** Shortened, as there may be millions: two of one beginning keep what could go, and no more. */
  readonly #needed = new Set<string>()
  readonly #damaged = new Set<Digest>()
  readonly #verified = new Set<Digest>()
  /** Names in them are not synced yet. */
  readonly #folders = new Set<string>()

  constructor(deps: BackupBytesDeps) {
    this.#deps = deps
  }

  /**
   * Resolves with false when neither the backup nor the store has them.
   *
   * @param size as the record has it
   * @throws Damaged
   */
  async keep(digest: Digest, size: number | undefined): Promise<boolean> {
    this.#needed.add(shortOf(digest)) // damaged ones too, which a later run may need
    const path = this.#deps.folder.layout.pushed(digest)
    if (!(await this.#isThere(path, digest, size)) && !(await this.#fetch(path, digest, size))) return false
    this.#folders.add(dirname(path))
    return true
  }

  /** As `keep`, with the whole content; undefined when it is not there. */
  async keepManifest(digest: Digest, size: number): Promise<Buffer | undefined> {
    if (!(await this.keep(digest, size))) return undefined
    const { store, folder } = this.#deps
    for (const path of [...placesIn(store, digest), folder.layout.pushed(digest)]) {
      const body = await readable(readFile(path)).catch(notDamaged)
      if (body && digestOf(body, algorithmOf(digest)) === digest) return body
    }
    throw new Damaged('its bytes have another digest')
  }

  /** Every name is on disk when it resolves. */
  async settle(): Promise<void> {
    for (const path of this.#folders) await this.#deps.folder.files.folders.sync(path)
  }

  /** Takes away what nothing asked for. Resolves with how many files that were. */
  async prune(): Promise<number> {
    let pruned = 0
    for await (const { digest, path } of pushedFiles(this.#deps.folder.layout)) {
      if (this.#needed.has(shortOf(digest))) continue
      await unlink(path)
      pruned += 1
    }
    return pruned
  }

  async #isThere(path: string, digest: Digest, size: number | undefined): Promise<boolean> {
    const found = await ifThere(stat(path))
    if (!found || found.size !== (size ?? found.size)) return false
    if (!this.#deps.verify || this.#verified.has(digest)) return true
    if (!(await isSound(path, digest))) return false
    this.#verified.add(digest)
    return true
  }

  /** The collection of garbage may have them in its hand, to put them back in a moment. */
  async #fetch(path: string, digest: Digest, size: number | undefined): Promise<boolean> {
    if (await this.#bring(path, digest, size)) return true
    await setTimeout(this.#deps.lookAgainMs ?? defaultLookAgainMs)
    return this.#bring(path, digest, size)
  }

  async #bring(path: string, digest: Digest, size: number | undefined): Promise<boolean> {
    if (this.#damaged.has(digest)) throw new Damaged('its bytes cannot be used')
    const { store, folder } = this.#deps
    let damage: Damaged | undefined
    for (const from of placesIn(store, digest)) {
      const scratch = folder.files.scratch()
      const copied = await copySound(from, scratch, digest).catch(error => {
        damage = asDamage(error)
        return undefined
      })
      if (copied === undefined) continue
      await folder.files.move(scratch, path, { durable: false })
      this.copied.files += 1
      this.copied.bytes += copied
      if (this.#deps.verify) this.#verified.add(digest)
      if (copied === (size ?? copied)) return true
      damage = new Damaged(`it has ${copied} bytes, its record says ${size}`)
      break
    }
    if (!damage) return false
    this.#damaged.add(digest)
    throw damage
  }
}

/** What a repository holds may lie among the cached bytes, where it could not be linked. */
function placesIn(store: Layout, digest: Digest): readonly string[] {
  return [store.pushed(digest), store.cached(digest)]
}

function asDamage(error: unknown): Damaged {
  if (error instanceof Damaged) return error
  throw error
}

function notDamaged(error: unknown): undefined {
  asDamage(error)
}

/** 64 bits. */
function shortOf(digest: Digest): string {
  return Buffer.from(hexOf(digest).slice(0, 16), 'hex').toString('latin1')
}
