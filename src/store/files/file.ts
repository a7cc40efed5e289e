/** A file opened once and shared: closed when the last of its users has let go. */
import { close, constants, fdatasync, fstat, fsync, ftruncate, open, read, writev } from 'node:fs'
import { promisify } from 'node:util'
import { withDescriptor } from '../../runtime/descriptors.ts'

const openAsync = promisify(open)
const closeAsync = promisify(close)
const fdatasyncAsync = promisify(fdatasync)
const fsyncAsync = promisify(fsync)
const fstatAsync = promisify(fstat)
const ftruncateAsync = promisify(ftruncate)

const closing = new Set<Promise<void>>()

/** Resolves when the files that everybody has let go of are closed. */
export async function allClosed(): Promise<void> {
  await Promise.all(closing)
}

/** Nothing was promised about a file that nobody uses. */
function closeBehind(fd: number): void {
  const closed = closeAsync(fd)
    .catch(() => {})
    .finally(() => closing.delete(closed))
  closing.add(closed)
}

/** For reading and writing, made when it is not there. */
export const openOrMake = constants.O_RDWR | constants.O_CREAT

export class SharedFile {
  readonly fd: number
  /** Where it was opened; it may have been renamed or deleted since. */
  readonly path: string
  readonly #close: () => void
  #users = 1

  private constructor(fd: number, path: string, close: () => void) {
    this.fd = fd
    this.path = path
    this.#close = close
  }

  /** Rejects with the system's error (`ENOENT`, `EMFILE`, `ENOSPC` …). */
  static async open(
    path: string,
    flags: 'r' | 'r+' | 'wx+' | typeof openOrMake,
    mode = 0o644,
  ): Promise<SharedFile> {
    const fd = await withDescriptor(() => openAsync(path, flags, mode))
    return new SharedFile(fd, path, () => closeBehind(fd))
  }

  /** One more user, who has to call `release` too. */
  retain(): this {
    this.#users += 1
    return this
  }

  release(): void {
    this.#users -= 1
    if (this.#users === 0) this.#close()
  }

  /**
   * The same open file for users of their own: whatever they do with theirs, it stays open for the others.
   *
   * @param ended told when the last of these has let go
   */
  share(ended = () => {}): SharedFile {
    this.retain()
    return new SharedFile(this.fd, this.path, () => {
      this.release()
      ended()
    })
  }

  /** Resolves with the number of bytes read: 0 at the end of the file. */
  read(target: Buffer, position: number): Promise<number> {
    return this.#using(
      () =>
        new Promise((resolve, reject) => {
          const done = (error: Error | null, count: number) => (error ? reject(error) : resolve(count))
          read(this.fd, target, 0, target.length, position, done)
        }),
    )
  }

  /** What `read` put into the target; no buffer at the end of the file. */
  async readFrom(position: number, target: Buffer): Promise<readonly Buffer[]> {
    const count = await this.read(target, position)
    return count === 0 ? [] : [target.subarray(0, count)]
  }

  /** Writes all of the chunks at the position; on an error some of them may be there. */
  async write(chunks: readonly Buffer[], position: number): Promise<void> {
    let rest = chunks
    while (rest.length > 0) {
      const written = await this.#writeSome(rest, position)
      position += written
      rest = without(rest, written)
    }
  }

  async size(): Promise<number> {
    return (await this.#using(() => fstatAsync(this.fd))).size
  }

  sync(): Promise<void> {
    return this.#using(() => fdatasyncAsync(this.fd))
  }

  /** As `sync`, with what a folder has of its own. */
  syncAll(): Promise<void> {
    return this.#using(() => fsyncAsync(this.fd))
  }

  truncate(size: number): Promise<void> {
    return this.#using(() => ftruncateAsync(this.fd, size))
  }

  #writeSome(chunks: readonly Buffer[], position: number): Promise<number> {
    return this.#using(
      () =>
        new Promise((resolve, reject) => {
          writev(this.fd, chunks, position, (error, count) => (error ? reject(error) : resolve(count)))
        }),
    )
  }

  /** A number that is closed meanwhile may be another file's by the time it is used. */
  async #using<T>(task: () => Promise<T>): Promise<T> {
    if (this.#users === 0) throw new Error('the file is closed')
    this.retain()
    try {
      return await task()
    } finally {
      this.release()
    }
  }
}

/** What remains of the chunks after the first `count` bytes. */
function without(chunks: readonly Buffer[], count: number): readonly Buffer[] {
  let at = 0
  for (; at < chunks.length; at += 1) {
    const length = chunks[at]?.length ?? 0
    if (count < length) break
    count -= length
  }
  const [first, ...rest] = chunks.slice(at)
  return first === undefined ? [] : [first.subarray(count), ...rest]
}
