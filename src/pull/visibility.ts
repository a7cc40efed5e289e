/** Whether a repository holds a blob: known from its link, or confirmed by its upstream (visibility is apart from bytes). */
import type { BlobEntry } from '../index/index.ts'
import type { Digest } from '../oci/digest.ts'
import { Coalescer } from '../stream/coalesce.ts'
import { UpstreamError } from '../upstream/upstream-error.ts'
import type { PullDeps } from './deps.ts'
import { isSound } from './sound.ts'
import { keyOf, scopeOf, type Target } from './target.ts'
import { isGuarded } from './verdicts.ts'

export class Visibility {
  readonly #deps: PullDeps
  readonly #asking = new Coalescer<BlobEntry>()

  constructor(deps: PullDeps) {
    this.#deps = deps
  }

  /**
   * The repository's link, or a public blob that a manifest of this repository lists; for whom upstream lets have it.
   *
   * @throws UpstreamError not-allowed
   */
  async known(target: Target, digest: Digest): Promise<BlobEntry | undefined> {
    target.upstream.assertAllowed(target.repository)
    if (!this.#deps.verdicts.holds(target)) return undefined
    const key = keyOf(target)
    const link = await this.#deps.catalog.blob(key, digest)
    if (link || target.upstream.options.access !== 'public') return link
    if ((await this.#deps.catalog.index.childSize(key, digest)) === undefined) return undefined
    const shared = await this.#deps.catalog.index.publicBlob(key.registry, digest)
    if (shared) this.#deps.background.run(() => this.#deps.catalog.putBlob(key, digest, shared))
    return shared
  }

  /** Upstream's word that the repository holds the blob; makes the link. Rejects with an UpstreamError. */
  confirm(target: Target, digest: Digest): Promise<BlobEntry> {
    return this.#asking.run(`${scopeOf(target)}:${digest}`, () => this.#ask(target, digest)).result
  }

  /** Throws upstream's answer again if it said a moment ago that there is no such blob. */
  assertNotAbsent(target: Target, digest: Digest): void {
    this.#deps.absences.check(absenceKey(target, digest))
  }

  /** Runs a task that may learn from upstream that there is no such blob, and remembers it. */
  guard<T>(target: Target, digest: Digest, task: () => Promise<T>): Promise<T> {
    return this.#deps.absences.guard(absenceKey(target, digest), target.policy.notFoundForMs, task)
  }

  async #ask(target: Target, digest: Digest): Promise<BlobEntry> {
    const { upstream, repository } = target
    const { revalidateMs } = upstream.options.timeouts
    const ask = this.#deps.verdicts.heldLately(target) ? { totalMs: revalidateMs } : {}
    const asked = this.guard(target, digest, () => upstream.headBlob(repository, digest, ask))
    const found = await asked.catch((failure: unknown) => this.#despite(failure, target, digest))
    if ('isPublic' in found) return found
    const { size, anonymous } = found
    await this.#assertSize(target, digest, size)
    const entry = { size, isPublic: anonymous && upstream.options.access === 'public' }
    const { catalog, background } = this.#deps
    const known = isGuarded(target) ? await catalog.blob(keyOf(target), digest) : undefined
    if (known && known.size === (size ?? known.size)) return known // upstream spoke of the caller
    background.run(() => catalog.putBlob(keyOf(target), digest, entry))
    return entry
  }

  /** In an outage the link, for whom upstream let have it lately. */
  async #despite(failure: unknown, target: Target, digest: Digest): Promise<BlobEntry> {
    const { verdicts, catalog } = this.#deps
    const link = verdicts.outlasts(target, failure) ? await catalog.blob(keyOf(target), digest) : undefined
    if (isGuarded(target) && link) return link
    throw failure
  }

  /** Who tells a wrong size of a blob speaks of something else, such as a page to log in at. */
  async #assertSize({ upstream }: Target, digest: Digest, size: number | undefined): Promise<void> {
    const stored = await this.#deps.store.open(digest)
    if (!stored) return
    try {
      if (size === undefined || stored.size === size || !(await isSound(digest, stored))) return
    } finally {
      stored.file.release()
    }
    const message = `${upstream.registry} told ${size} bytes for a blob of ${stored.size}`
    throw new UpstreamError(upstream.registry, 'corrupt', message)
  }
}

function absenceKey(target: Target, digest: Digest): string {
  return `${scopeOf(target)}:blob:${digest}`
}
