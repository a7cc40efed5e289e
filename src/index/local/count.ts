/** What the repositories of one namespace hold, counted from the names of their records while they are written to. */
import { createHash } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import { fromDashed } from '../../oci/digest.ts'
import { isTag } from '../../oci/name.ts'
import { localRegistry, type RepositoryKey } from '../../store/layout.ts'
import type { Store } from '../../store/store.ts'
import { localRepositories } from '../folders.ts'
import { type Held, idOf, type Link } from './links.ts'

export interface CountDeps {
  readonly store: Store
  /** Whether the repository is of the namespace. */
  readonly isOurs: (key: RepositoryKey) => boolean
  /** Runs the task while nobody writes the link; it is given its measure. */
  readonly look: (key: RepositoryKey, link: Link, task: (measure: number) => void) => Promise<void>
  /** Runs the task when every write that has begun in the repository has told of itself. */
  readonly settled: (key: RepositoryKey, task: () => void) => Promise<void>
}

/** Looked at together. */
const atOnce = 16

/**
 * One walk over the records. Each write tells of its beginning and, within its locks, of its end: of a repository that
 * the walk has passed the sum changes by the difference; one that it has yet to come to it finds as it is then. Of the
 * one that it is in, a folder's listing may or may not show what is written: who is written first is counted by its
 * write, and the walk goes on when those that have begun have ended.
 */
export class Count {
  readonly held: Held = { bytes: 0, tags: 0 }
  readonly #deps: CountDeps
  readonly #pending = new Set<string>()
  readonly #done = new Set<string>()
  #current: string | undefined
  /** Of the current repository, in short: there may be very many. */
  readonly #visited = new Set<number>()
  readonly #taken = new Set<string>()

  constructor(deps: CountDeps) {
    this.#deps = deps
  }

  async run(signal: AbortSignal): Promise<Held> {
    for await (const key of localRepositories(this.#deps.store)) {
      signal.throwIfAborted()
      if (this.#deps.isOurs(key)) this.#pending.add(key.repository)
    }
    for (const repository of this.#pending) {
      const key = { registry: localRegistry, repository } as RepositoryKey
      this.#pending.delete(repository)
      this.#current = repository
      await this.#walk(key, signal)
      await this.#deps.settled(key, () => this.#leave(repository))
    }
    return this.held
  }

  /** A write is about to begin, or was under way before the count. */
  began(repository: string): void {
    if (repository !== this.#current && !this.#done.has(repository)) this.#pending.add(repository)
  }

  /** A write has ended. */
  wrote(
    { repository }: RepositoryKey,
    link: Link,
    { before, after }: { before: number; after: number },
  ): void {
    const isDone = this.#done.has(repository)
    if (!isDone && repository !== this.#current) return
    const id = idOf(link)
    const isCounted = isDone || this.#taken.has(id) || this.#visited.has(shortOf(id))
    if (!isCounted) this.#taken.add(id)
    this.#add(link, isCounted ? after - before : after)
  }

  #leave(repository: string): void {
    this.#done.add(repository)
    this.#current = undefined
    this.#visited.clear()
    this.#taken.clear()
  }

  async #walk(key: RepositoryKey, signal: AbortSignal): Promise<void> {
    const { layout, names: recordNames } = this.#deps.store
    const folders = [
      [layout.tags(key), (name: string) => (isTag(name) ? ({ kind: 'tag', name } as const) : undefined)],
      [layout.manifests(key), (name: string) => digestLink('manifest', name)],
      [layout.blobs(key), (name: string) => digestLink('blob', name)],
    ] as const
    for (const [folder, linkOf] of folders) {
      for await (const names of recordNames.in(folder, atOnce)) {
        signal.throwIfAborted()
        await Promise.all(names.map(name => this.#visit(key, linkOf(name))))
        await setImmediate() // requests go first
      }
    }
  }

  async #visit(key: RepositoryKey, link: Link | undefined): Promise<void> {
    if (!link) return
    const id = idOf(link)
    await this.#deps.look(key, link, measure => {
      const short = shortOf(id)
      if (this.#taken.has(id) || this.#visited.has(short)) return // a name may be listed twice while it is replaced
      this.#visited.add(short)
      this.#add(link, measure)
    })
  }

  #add({ kind }: Link, difference: number): void {
    this.held[kind === 'tag' ? 'tags' : 'bytes'] += difference
  }
}

function digestLink(kind: 'manifest' | 'blob', name: string): Link | undefined {
  const digest = fromDashed(name)
  return digest && { kind, name: digest }
}

/** 48 bits of its hash. */
function shortOf(id: string): number {
  return createHash('sha256').update(id).digest().readUIntBE(0, 6)
}
