/**
 * Whom an upstream of `access: passthrough` lets have which repository, as it said itself: by the caller's credential, for
 * a short while. What is cached is given on no other ground.
 */
import type { Descriptor } from '../oci/manifest.ts'
import type { RepositoryName } from '../oci/name.ts'
import type { Clock } from '../runtime/clock.ts'
import { latest } from '../runtime/latest.ts'
import type { ManifestHead, TagPage, Upstream } from '../upstream/upstream.ts'
import { UpstreamError, type UpstreamFailure } from '../upstream/upstream-error.ts'
import { scopeOf, type Target } from './target.ts'

/** How long a refusal is repeated without asking. */
const refusedMs = 5_000
const maxKept = 20_000

/** Upstream did not say anything about the caller. */
const outages: ReadonlySet<UpstreamFailure> = new Set([
  'rate-limited',
  'unreachable',
  'server-error',
  'timeout',
  'resting',
])

/** The first for who brings a login or none; the others where nobody could. */
const refusals: ReadonlySet<UpstreamFailure> = new Set([
  'caller-refused',
  'denied',
  'hidden',
  'credential-refused',
])

type Verdict = { readonly allowedAt: number } | { readonly refusal: UpstreamError; readonly until: number }

export class Verdicts {
  readonly #clock: Clock
  /** By scope: who asks for what of whom. */
  readonly #known = latest<string, Verdict>(maxKept)

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The target with an upstream whose every answer is a verdict on who asks. */
  witness(target: Target): Target {
    return isGuarded(target) ? { ...target, upstream: this.#witnessed(target) } : target
  }

  /** Whether what is here of the repository may be given without asking. */
  holds(target: Target): boolean {
    return !isGuarded(target) || this.#allowedWithin(scopeOf(target), target.policy.passthrough.verdictMs)
  }

  /** Whether it may be given although upstream, asked for it, failed like this. */
  outlasts(target: Target, failure: unknown): boolean {
    if (this.holds(target)) return true
    if (!(failure instanceof UpstreamError) || !outages.has(failure.failure)) return false
    return this.heldLately(target)
  }

  /** Whether an outage would not matter. */
  heldLately(target: Target): boolean {
    return this.#allowedWithin(scopeOf(target), target.policy.passthrough.outageMs)
  }

  #allowedWithin(scope: string, ms: number): boolean {
    const known = this.#known.get(scope)
    return known !== undefined && 'allowedAt' in known && this.#clock.monotonic() - known.allowedAt < ms
  }

  #witnessed(target: Target): Upstream {
    const { upstream } = target
    const { registry, options, identity } = upstream
    const scope = scopeOf(target)
    const told = <T>(
      repository: RepositoryName,
      ask: () => Promise<T>,
      isTelling?: (answer: T) => boolean,
    ) => (repository === target.repository ? this.#told(target, scope, ask, isTelling) : ask())
    return {
      registry,
      options,
      identity,
      as: login => upstream.as(login),
      assertAllowed: repository => upstream.assertAllowed(repository),
      headManifest: (repository, ...asked) =>
        told(repository, () => upstream.headManifest(repository, ...asked), namesDigest),
      getManifest: (repository, ...asked) =>
        told(repository, () => upstream.getManifest(repository, ...asked)),
      headBlob: (repository, ...asked) => told(repository, () => upstream.headBlob(repository, ...asked)),
      openBlob: (repository, ...asked) =>
        told(
          repository,
          () => upstream.openBlob(repository, ...asked),
          () => false,
        ), // it may be any bytes yet
      listTags: (repository, ...asked) =>
        told(repository, () => upstream.listTags(repository, ...asked), namesAny),
      listReferrers: (repository, ...asked) =>
        told(repository, () => upstream.listReferrers(repository, ...asked), hasAny),
      pausedMs: () => upstream.pausedMs(),
      resting: () => upstream.resting(),
      close: () => upstream.close(),
      destroy: () => upstream.destroy(),
    }
  }

  async #told<T>(
    target: Target,
    scope: string,
    ask: () => Promise<T>,
    isTelling: (answer: T) => boolean = () => true,
  ): Promise<T> {
    const known = this.#known.get(scope)
    if (known && 'refusal' in known && this.#clock.monotonic() < known.until) throw known.refusal
    try {
      const answer = await ask()
      if (isTelling(answer)) this.#known.set(scope, { allowedAt: this.#clock.monotonic() })
      return answer
    } catch (error) {
      if (error instanceof UpstreamError) this.#heed(target, scope, error)
      throw error
    }
  }

  #heed(target: Target, scope: string, error: UpstreamError): void {
    const { upstreamStatus } = error
    if (refusals.has(error.failure)) {
      if (upstreamStatus === 412 || upstreamStatus === 451) return // of this object, whoever asks for it
      this.#known.set(scope, { refusal: error, until: this.#clock.monotonic() + refusedMs })
    }
    // "There is nothing" is also what some say instead of "not for you".
    else if (error.absent && !this.holds(target)) this.#known.delete(scope)
  }
}

/** Upstream decides for each caller. */
export function isGuarded({ upstream }: Pick<Target, 'upstream'>): boolean {
  return upstream.options.access === 'passthrough'
}

/** A page to log in at does not. */
function namesDigest({ digest }: ManifestHead): boolean {
  return digest !== undefined
}

/** Registries list nothing, and not an error, of what is hidden or not there. */
function namesAny({ tags }: TagPage): boolean {
  return tags.length > 0
}

function hasAny(referrers: readonly Descriptor[]): boolean {
  return referrers.length > 0
}
