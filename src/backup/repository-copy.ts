/**
 * One repository on its way into a backup while it is pushed to and deleted from. What a record leans on goes before
 * it, and a record counts when it is still there after that: every tag of the backup has had its manifest, and that
 * its blobs, at one moment.
 */
import { readFile } from 'node:fs/promises'
import { blobEntry, manifestEntry, referrerEntry, tagEntry } from '../index/records.ts'
import { type Digest, fromDashed } from '../oci/digest.ts'
import { viewManifest } from '../oci/manifest.ts'
import { isTag, type Tag } from '../oci/name.ts'
import { diskNames } from '../store/files/names.ts'
import type { Layout, RepositoryKey } from '../store/layout.ts'
import type { StoredRecord } from '../store/records.ts'
import { allDone } from '../stream/all-done.ts'
import { Coalescer } from '../stream/coalesce.ts'
import type { BackupBytes } from './bytes.ts'
import { type Entry, parseRecord } from './entry.ts'
import { Damaged, readable } from './failure.ts'

export interface RepositoryCopyDeps {
  readonly store: Layout
  readonly bytes: BackupBytes
  readonly add: (entry: Entry) => Promise<void>
  /** Told of what cannot be used. */
  readonly damaged: (what: Readonly<Record<string, string>>, damage: Damaged) => void
}

const atOnce = 16
/** A tag that moves as fast as it is read is not followed for ever. */
const maxMoves = 5

export class RepositoryCopy {
  readonly #deps: RepositoryCopyDeps
  readonly #key: RepositoryKey
  /** In the list; `whole` ones with all that they list. */
  readonly #listed = new Set<string>()
  readonly #whole = new Set<Digest>()
  readonly #manifests = new Coalescer<boolean>()
  readonly #blobs = new Coalescer<boolean>()

  constructor(key: RepositoryKey, deps: RepositoryCopyDeps) {
    this.#key = key
    this.#deps = deps
  }

  async run(): Promise<void> {
    const { store } = this.#deps
    await this.#each(store.tags(this.#key), async name => {
      if (isTag(name)) await this.#contained({ tag: name }, () => this.#tag(name))
    })
    await this.#each(store.manifests(this.#key), async name => {
      const digest = fromDashed(name)
      if (digest) await this.#tryManifest(digest)
    })
    await this.#each(store.blobs(this.#key), async name => {
      const digest = fromDashed(name)
      if (digest) await this.#tryBlob(digest)
    })
  }

  async #each(folder: string, task: (name: string) => Promise<void>): Promise<void> {
    for await (const names of diskNames.in(folder, atOnce)) await allDone(names.map(task))
  }

  async #tag(tag: Tag): Promise<boolean> {
    const path = this.#deps.store.tag(this.#key, tag)
    let missing: Digest | undefined
    for (let moves = 0; moves < maxMoves; moves += 1) {
      const found = await this.#read(path, tagEntry)
      if (!found) return false // deleted meanwhile
      const { digest } = found.entry
      if (await this.#manifest(digest)) {
        if (!(await this.#read(path, tagEntry))) return false // perhaps with the manifest, half of which was seen
        await this.#list({ kind: 'tag', tag, repository: this.#key.repository, record: found.record })
        return true
      }
      missing = digest
    }
    throw new Damaged(`its manifest ${missing} is not there`)
  }

  #tryManifest(digest: Digest): Promise<boolean> {
    return this.#contained({ manifest: digest }, () => this.#manifest(digest))
  }

  #tryBlob(digest: Digest): Promise<boolean> {
    return this.#contained({ blob: digest }, () => this.#blob(digest))
  }

  /** Resolves with whether it is in the list; false: the repository does not hold it. */
  async #manifest(digest: Digest): Promise<boolean> {
    if (this.#whole.has(digest)) return true
    return this.#manifests.run(digest, () => this.#copyManifest(digest)).result
  }

  async #copyManifest(digest: Digest): Promise<boolean> {
    const { store, bytes } = this.#deps
    const path = store.manifest(this.#key, digest)
    const found = await this.#read(path, manifestEntry)
    if (!found) return false
    const { size, subject } = found.entry
    const body = await bytes.keepManifest(digest, size)
    const isWhole = body !== undefined && (await this.#copyListed(body))
    const refers = subject === undefined || (await this.#referrer(subject, digest))
    if (!(await this.#read(path, manifestEntry))) return false // deleted meanwhile, perhaps with what it lists
    if (!body) throw new Damaged('its bytes are not there')
    await this.#list({ kind: 'manifest', digest, repository: this.#key.repository, record: found.record })
    if (isWhole && refers) this.#whole.add(digest)
    return true
  }

  /** Resolves with whether all of it is here: what is not may come, and is looked for again by the next tag. */
  async #copyListed(body: Buffer): Promise<boolean> {
    const view = viewManifest(body)
    let isWhole = true
    for (const { digest } of view?.blobs ?? []) isWhole = (await this.#tryBlob(digest)) && isWhole
    for (const { digest } of view?.manifests ?? []) isWhole = (await this.#tryManifest(digest)) && isWhole
    return isWhole
  }

  async #referrer(subject: Digest, digest: Digest): Promise<boolean> {
    return this.#contained({ referrer: digest }, async () => {
      const found = await this.#read(this.#deps.store.referrer(this.#key, subject, digest), referrerEntry)
      if (!found) return false
      const { repository } = this.#key
      await this.#list({ kind: 'referrer', digest, subject, repository, record: found.record })
      return true
    })
  }

  async #blob(digest: Digest): Promise<boolean> {
    if (this.#listed.has(`blob ${digest}`)) return true
    return this.#blobs.run(digest, () => this.#copyBlob(digest)).result
  }

  async #copyBlob(digest: Digest): Promise<boolean> {
    const { store, bytes } = this.#deps
    const path = store.blob(this.#key, digest)
    const found = await this.#read(path, blobEntry)
    if (!found) return false
    if (!(await bytes.keep(digest, found.entry.size))) {
      if (!(await this.#read(path, blobEntry))) return false // deleted meanwhile, and its bytes after it
      throw new Damaged('its bytes are not there')
    }
    await this.#list({ kind: 'blob', digest, repository: this.#key.repository, record: found.record })
    return true
  }

  async #list(entry: Entry): Promise<void> {
    const name = `${entry.kind} ${entry.kind === 'tag' ? entry.tag : entry.digest}`
    if (this.#listed.has(name)) return
    this.#listed.add(name)
    await this.#deps.add(entry)
  }

  async #contained(what: Record<string, string>, task: () => Promise<boolean>): Promise<boolean> {
    try {
      return await task()
    } catch (error) {
      if (!(error instanceof Damaged)) throw error
      this.#deps.damaged({ repository: this.#key.repository, ...what }, error)
      return false
    }
  }

  /** Undefined when there is no record. A local one is written whole or not at all: a torn one is damage. */
  async #read<T>(
    path: string,
    parse: (record: StoredRecord) => T | undefined,
  ): Promise<{ record: StoredRecord; entry: T } | undefined> {
    const text = await readable(readFile(path, 'utf8'))
    if (text === undefined) return undefined
    const record = parseRecord(text)
    const entry = record && parse(record)
    if (!record || entry === undefined) throw new Damaged('its record is damaged')
    return { record, entry }
  }
}
