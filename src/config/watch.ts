/** Notices changes of the configuration and of the secrets it was read with, and loads it again. */
import { type FSWatcher, watch } from 'node:fs'
import { realpath } from 'node:fs/promises'
import { dirname } from 'node:path'
import { classify } from './classify.ts'
import { type LoadedConfig, loadConfig } from './load.ts'
import { ConfigError, type Origin } from './problem.ts'

export interface WatchOptions {
  /** What comes next waits for it, and its failure is told to who asked for the reload alone. */
  onChange(loaded: LoadedConfig): void | Promise<void>
  /** A ConfigError: the new configuration is refused. Any other: changes may go unnoticed until `reload`. */
  onError(error: Error): void
  /** Editors write a file in several steps. */
  debounceMs?: number
  signal: AbortSignal
  env?: Readonly<Record<string, string | undefined>>
}

export interface ConfigWatcher {
  /** Loads again and reports, whether anything changed or not. Resolves with what was wrong. */
  reload(): Promise<Error | undefined>
}

/** What was reported last is not reported again when nothing but time stamps changed. */
export function watchConfig(loaded: LoadedConfig, options: WatchOptions): ConfigWatcher {
  const watcher = new Watcher(loaded, options)
  watcher.start(loaded)
  return { reload: () => watcher.load({ always: true }) }
}

const defaultDebounceMs = 250

class Watcher {
  readonly #path: string
  readonly #options: WatchOptions
  readonly #folders = new Map<string, FSWatcher>()
  #seen: string
  #files: ReadonlySet<string> = new Set()
  #timer: NodeJS.Timeout | undefined
  /** Loads follow each other, so that the last content is reported last. */
  #loading: Promise<unknown> = Promise.resolve()

  constructor({ path, fingerprint }: LoadedConfig, options: WatchOptions) {
    this.#path = path
    this.#options = options
    this.#seen = fingerprint
    options.signal.addEventListener('abort', () => this.#close(), { once: true })
  }

  start({ files }: Origin): void {
    this.#loading = this.#watchFolders(files)
    void this.load({ always: false }) // what changed before the watch began
  }

  load({ always }: { always: boolean }): Promise<Error | undefined> {
    const loading = this.#loading.then(() => this.#load(always))
    this.#loading = loading
    return loading
  }

  async #load(always: boolean): Promise<Error | undefined> {
    const { signal, env } = this.#options
    if (signal.aborted) return undefined
    const outcome = await loadConfig(this.#path, env).catch((error: unknown) => asError(error))
    if (signal.aborted) return undefined
    const origin = outcome instanceof Error ? originOf(outcome) : outcome
    const isNew = origin?.fingerprint !== this.#seen
    if (origin) {
      this.#seen = origin.fingerprint
      await this.#watchFolders(origin.files)
    }
    if (!always && !isNew) return undefined
    return this.#report(outcome)
  }

  async #report(outcome: LoadedConfig | Error): Promise<Error | undefined> {
    if (outcome instanceof Error) {
      this.#options.onError(outcome)
      return outcome
    }
    try {
      await this.#options.onChange(outcome)
      return undefined
    } catch (error) {
      return asError(error)
    }
  }

  /** Folders and not files: a file that is replaced by renaming is another one, which nobody watches. */
  async #watchFolders(files: readonly string[]): Promise<void> {
    const real = await Promise.all(files.map(file => realpath(file).catch(() => file))) // not there yet: its folder is
    this.#files = new Set([...files, ...real])
    const wanted = new Set([...this.#files].map(file => dirname(file)))
    for (const [folder, watcher] of this.#folders) {
      if (wanted.has(folder)) continue
      watcher.close()
      this.#folders.delete(folder)
    }
    for (const folder of wanted) this.#watchFolder(folder)
  }

  #watchFolder(folder: string): void {
    if (this.#folders.has(folder) || this.#options.signal.aborted) return
    try {
      const watcher = watch(folder, { persistent: false }, (_, name) => this.#noticed(folder, name))
      this.#folders.set(folder, watcher)
      watcher.on('error', error => this.#lost(folder, error))
    } catch (error) {
      this.#lost(folder, error)
    }
  }

  #lost(folder: string, cause: unknown): void {
    this.#folders.get(folder)?.close()
    this.#folders.delete(folder)
    const reason = asError(cause).message
    this.#options.onError(
      new Error(`changes in ${folder} go unnoticed (${reason}); send SIGHUP after a change`, { cause }),
    )
  }

  #noticed(folder: string, name: string | null): void {
    if (classify(folder, name, this.#files) === 'unrelated') return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(
      () => void this.load({ always: false }),
      this.#options.debounceMs ?? defaultDebounceMs,
    )
    this.#timer.unref()
  }

  #close(): void {
    clearTimeout(this.#timer)
    for (const watcher of this.#folders.values()) watcher.close()
    this.#folders.clear()
  }
}

function originOf(error: Error): Origin | undefined {
  return error instanceof ConfigError ? error.origin : undefined
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
