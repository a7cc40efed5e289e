/** The files a configuration is read from, remembered so that a change of any of them can be noticed. */
import { createHash } from 'node:crypto'
import { access, constants, readFile, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import type { Origin } from './problem.ts'

export class Sources implements Origin {
  readonly #folder: string
  readonly #contents = new Map<string, Promise<string>>()
  readonly #hashes = new Map<string, string>()

  /** @param configPath whose folder relative paths start from */
  constructor(configPath: string) {
    this.#folder = dirname(resolve(configPath))
  }

  get files(): string[] {
    return [...this.#contents.keys()]
  }

  get fingerprint(): string {
    const sorted = [...this.#hashes].sort(([a], [b]) => (a < b ? -1 : 1))
    return createHash('sha256').update(JSON.stringify(sorted)).digest('hex')
  }

  resolve(path: string): string {
    return resolve(this.#folder, path)
  }

  /** The text of a file, read once. Rejects with the system's error. */
  read(path: string): Promise<string> {
    const full = this.resolve(path)
    const reading = this.#contents.get(full) ?? this.#read(full)
    this.#contents.set(full, reading)
    return reading
  }

  /** Rejects with the system's error when the file cannot be read; its content is somebody else's business. */
  async assertReadable(path: string): Promise<void> {
    await access(this.resolve(path), constants.R_OK)
  }

  /**
   * Whether everybody on this machine may read or change a file. Its group may: Kubernetes gives secrets to it.
   *
   * @returns undefined where files have no such mode, else the mode in octal digits where it is too wide
   */
  async tooWide(path: string): Promise<string | undefined> {
    if (process.platform === 'win32') return undefined
    const { mode } = await stat(this.resolve(path))
    return (mode & 0o007) === 0 ? undefined : (mode & 0o777).toString(8).padStart(4, '0')
  }

  async #read(full: string): Promise<string> {
    this.#hashes.set(full, 'unreadable')
    const text = await readFile(full, 'utf8')
    this.#hashes.set(full, createHash('sha256').update(text).digest('hex'))
    return text
  }
}

/** For a person: why a file could not be read. */
export function readFailure(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
  const words: Readonly<Record<string, string>> = {
    ENOENT: 'there is no such file',
    EACCES: 'this user may not read it',
    EISDIR: 'it is a folder',
    ENOTDIR: 'a part of its path is no folder',
  }
  return words[code] ?? code
}
