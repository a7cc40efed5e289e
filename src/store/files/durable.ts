/** Files that appear whole or not at all. */
import { randomUUID } from 'node:crypto'
import { link, rename, unlink } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import type { Layout } from '../layout.ts'
import { SharedFile } from './file.ts'
import { Folders } from './folders.ts'
import { isCode } from './system-error.ts'

// Each durable write waits for several of these: `node:fs/promises` takes twice the time for one.
const linkAsync = promisify(link)
const renameAsync = promisify(rename)
const unlinkAsync = promisify(unlink)

export interface Durability {
  /** Content and name survive a power cut when the promise resolves. */
  readonly durable: boolean
  /** The name appears when this has resolved, and not at all when it rejects; the content is written meanwhile. */
  readonly after?: Promise<void> | undefined
}

export class WholeFiles {
  readonly folders: Folders
  /** Folder on the same file system for a file until it is whole. */
  readonly #scratch: string

  constructor(layout: Layout) {
    this.folders = new Folders(layout.root)
    this.#scratch = layout.trash
  }

  /** Writes the file and puts it under its name, replacing what was there. */
  async write(path: string, content: Uint8Array | string, { durable, after }: Durability): Promise<void> {
    after?.catch(() => {}) // told of below
    const written = await this.#writeScratch(content, durable)
    try {
      await after
      await this.move(written, path, { durable })
    } catch (error) {
      await unlinkAsync(written).catch(() => {}) // what failed is told of; it may have been moved already
      throw error
    }
  }

  /** As `write`, but resolves with false and changes nothing when the name is taken. */
  async create(
    path: string,
    content: Uint8Array | string,
    { durable, mode }: Pick<Durability, 'durable'> & { readonly mode?: number },
  ): Promise<boolean> {
    const written = await this.#writeScratch(content, durable, mode)
    let created = false
    try {
      created = await this.link(written, path)
    } finally {
      await Promise.all([
        unlinkAsync(written),
        created && durable ? this.folders.sync(dirname(path)) : undefined,
      ])
    }
    return created
  }

  /** Puts a file of the store, whose content is on disk, under another name, replacing what was there. */
  async move(from: string, to: string, { durable }: Pick<Durability, 'durable'>): Promise<void> {
    const folder = dirname(to)
    await this.folders.into(folder, () => renameAsync(from, to))
    if (durable) await this.folders.sync(folder)
  }

  /** One more name for a file, not synced; resolves with false when the name is taken. */
  async link(from: string, to: string): Promise<boolean> {
    try {
      await this.folders.into(dirname(to), () => linkAsync(from, to))
      return true
    } catch (error) {
      if (isCode(error, 'EEXIST')) return false
      throw error
    }
  }

  /** A name for a file on its way. */
  scratch(): string {
    return join(this.#scratch, `new-${randomUUID()}`)
  }

  async #writeScratch(content: Uint8Array | string, durable: boolean, mode?: number): Promise<string> {
    const path = this.scratch()
    const file = await SharedFile.open(path, 'wx+', mode)
    try {
      await file.write([bytesOf(content)], 0)
      if (durable) await file.sync()
    } catch (error) {
      await unlinkAsync(path).catch(() => {}) // reaped later
      throw error
    } finally {
      file.release()
    }
    return path
  }
}

function bytesOf(content: Uint8Array | string): Buffer {
  if (typeof content === 'string') return Buffer.from(content)
  return Buffer.from(content.buffer, content.byteOffset, content.byteLength)
}
