/** One upload in progress: its file, its hash, and how far it has come (distribution-spec, "Pushing blobs"). */
import { type Algorithm, algorithmOf, type Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import { isCode } from '../store/files/system-error.ts'
import type { RepositoryKey } from '../store/layout.ts'
import type { StoredUpload, UploadFile, UploadFiles } from '../store/upload.ts'
import { letGo } from '../stream/bytes.ts'
import { type GrowingHash, openHash } from '../stream/growing-hash.ts'
import { WriteBehind } from '../stream/write-behind.ts'
import type { Chunk } from './body.ts'

/** So much may wait for the disk before the client has to. */
const maxPendingBytes = 512 * 1024

export class Session {
  readonly id: string
  readonly key: RepositoryKey
  readonly #files: UploadFiles
  #file: UploadFile | undefined
  #hash: GrowingHash | undefined
  #algorithm: Algorithm
  /** Bytes in the file while it is not open. */
  #size: number
  #isOver = false

  constructor(files: UploadFiles, { id, note, size }: StoredUpload) {
    this.id = id
    this.key = { registry: note.registry, repository: note.repository }
    this.#files = files
    this.#algorithm = note.algorithm
    this.#size = size
  }

  /** Its files are gone: the blob is stored, or the upload was given up. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** Bytes received, and where the next ones belong. */
  get offset(): number {
    return this.#file?.written ?? this.#size
  }

  /**
   * Appends. What came before the client left is kept; of a chunk that is not what it said, nothing is.
   *
   * @throws RegistryError SIZE_INVALID (400), BLOB_UPLOAD_INVALID (400 or 413); rejects with the system's error, or the body's
   */
  async write(chunk: Chunk, maxBytes: number): Promise<void> {
    if (this.offset + (chunk.length ?? 0) > maxBytes) throw tooLarge(maxBytes)
    const file = await this.#open()
    if (file.isCommitted) return assertNoMore(chunk)
    const start = file.written
    const hash = this.#hashOf(file, chunk.length)
    const behind = new WriteBehind({ append: batch => append(batch, { file, hash }), maxPendingBytes })
    try {
      await receive(chunk, behind, { start, maxBytes })
    } catch (error) {
      await this.#settle(behind)
      if (error instanceof RegistryError) await this.#takeBack(start)
      throw error
    }
  }

  /** The digest of all bytes: known at once when they were hashed as they came, read again otherwise. */
  async digest(algorithm: Algorithm): Promise<Digest> {
    if (algorithm !== this.#algorithm) this.#rehash(algorithm)
    const hash = this.#hashOf(await this.#open(), undefined)
    try {
      return await hash.digest()
    } finally {
      this.#forgetHash() // a finished hash takes no more bytes
    }
  }

  /** The bytes are to be hashed with the digest's algorithm, if that is still a free choice. */
  expect(digest: Digest): void {
    if (this.offset === 0) this.#rehash(algorithmOf(digest))
  }

  /** Durable under the digest's name when it resolves; the caller has compared the digest. */
  async store(digest: Digest): Promise<void> {
    const file = await this.#open()
    const wasStored = file.isCommitted // and only the repository's link was missing
    try {
      await file.commit(digest)
    } catch (error) {
      if (!wasStored || !isCode(error, 'ENOENT')) throw error
      throw new RegistryError('BLOB_UPLOAD_UNKNOWN', 'the upload was given up: begin a new one')
    }
  }

  /** Gives back what it keeps open; the session lives on in its files. */
  close(): void {
    this.#forgetHash()
    this.#size = this.offset
    this.#file?.close()
    this.#file = undefined
  }

  async remove(): Promise<void> {
    this.#isOver = true
    this.close()
    await this.#files.remove(this.id)
  }

  async #open(): Promise<UploadFile> {
    this.#file ??= await this.#files.open(this.id)
    return this.#file
  }

  #hashOf(file: UploadFile, expected: number | undefined): GrowingHash {
    this.#hash ??= openHash(this.#algorithm, { file: file.file, from: file.written, expected })
    return this.#hash
  }

  #rehash(algorithm: Algorithm): void {
    this.#forgetHash()
    this.#algorithm = algorithm
  }

  #forgetHash(): void {
    this.#hash?.[Symbol.dispose]()
    this.#hash = undefined
  }

  /** Waits for what is being written. A batch that failed was hashed and may not be in the file. */
  async #settle(behind: WriteBehind): Promise<void> {
    try {
      await behind.end()
    } catch {
      this.#forgetHash() // the caller has the error
    }
  }

  async #takeBack(start: number): Promise<void> {
    this.#forgetHash()
    await (await this.#open()).truncate(start)
  }
}

async function append(
  batch: readonly Buffer[],
  { file, hash }: { file: UploadFile; hash: GrowingHash },
): Promise<void> {
  const written = file.append(batch)
  hash.update(batch)
  await written
  hash.written(file.written)
  letGo(batch)
}

async function receive(
  chunk: Chunk,
  behind: WriteBehind,
  { start, maxBytes }: { start: number; maxBytes: number },
): Promise<void> {
  const declared = chunk.range ? chunk.range.last - chunk.range.first + 1 : undefined
  let received = 0
  for await (const bytes of chunk.chunks) {
    received += bytes.length
    if (start + received > maxBytes) throw tooLarge(maxBytes)
    if (declared !== undefined && received > declared) break
    await behind.push(bytes)
  }
  await behind.end()
  if (declared !== undefined && received !== declared)
    throw new RegistryError('SIZE_INVALID', `Content-Range tells ${declared} bytes, the body has others`)
}

/** A closing PUT failed after the bytes had got their digest's name, under which others may have them too. */
async function assertNoMore({ chunks }: Chunk): Promise<void> {
  for await (const { length } of chunks) {
    if (length === 0) continue
    const message = 'all bytes are here: send the closing PUT without any'
    throw new RegistryError('BLOB_UPLOAD_INVALID', message, { status: 400 })
  }
}

function tooLarge(maxBytes: number): RegistryError {
  const message = `the blob has more than ${maxBytes} bytes (limits.upload)`
  return new RegistryError('BLOB_UPLOAD_INVALID', message, { status: 413 })
}
