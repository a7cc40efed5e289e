/** What is asked of whom: a repository of an upstream or of a local namespace, with the rules that hold there. */
import type { RepositoryName } from '../oci/name.ts'
import { type Reference, referenceText } from '../oci/reference.ts'
import { localRegistry, type RepositoryKey } from '../store/layout.ts'
import type { Upstream } from '../upstream/upstream.ts'

/** Times are milliseconds. */
export interface CachePolicy {
  /** First match wins; `Infinity`: never asked again, 0: asked each time. */
  readonly tags: readonly { readonly match: string; readonly freshMs: number }[]
  /** How long a tag list or a list of referrers is served without asking again. */
  readonly listingsFreshMs: number
  /** How old an unconfirmed tag may get while upstream does not answer. */
  readonly maxStaleMs: number
  /** How long a tag that upstream no longer has is served on. */
  readonly onNotFound: { readonly serveForMs: number }
  /** What a client gets when upstream is rate-limited and nothing is cached: 503, or upstream's 429. */
  readonly rateLimited: 'unavailable' | 'propagate'
  /** How long upstream's 404 is remembered. */
  readonly notFoundForMs: number
  /** Where upstream decides for each caller: how long its yes is enough, and how long where it cannot be asked. */
  readonly passthrough: { readonly verdictMs: number; readonly outageMs: number }
}

export interface Target {
  readonly upstream: Upstream
  readonly policy: CachePolicy
  readonly repository: RepositoryName
}

/** Names that are ours: pushed here, and asked for upstream only where `overlay` says so. */
export interface LocalNamespace {
  readonly name: string
  /** Pattern over names; its first component may be a registry, by its name and not by an alias. */
  readonly match: string
  /** Reads look here first and then upstream. */
  readonly overlay: boolean
  /** Patterns of tags that cannot be moved or deleted. */
  readonly immutableTags: readonly string[]
  /** Whether clients may delete tags, manifests and blobs. */
  readonly delete: boolean
  /** What becomes of a manifest whose config, layers or children are not in its repository. */
  readonly missingReferences: 'accept' | 'refuse'
  /** How long a manifest is kept that no tag points at, no index lists and that refers to nothing held; `Infinity`: always. */
  readonly untaggedMs: number
  /** How long tags are kept: the first rule that matches one decides. */
  readonly retention: readonly RetentionRule[]
  /** Undefined: it may hold as much as the disk does. */
  readonly quota?: Quota | undefined
}

/** How much the repositories of a namespace may hold in all; undefined: any. */
export interface Quota {
  /** Of blobs and manifests, each once for each repository that holds it, and of uploads under way. */
  readonly bytes?: number | undefined
  readonly tags?: number | undefined
}

/** A tag goes when none of the conditions holds. */
export interface RetentionRule {
  /** Pattern of tags. */
  readonly match: string
  readonly keep: {
    /** It is among so many that were pushed last, of those that the rule is for. */
    readonly last: number | undefined
    /** It was pushed within so long. */
    readonly newerThanMs: number | undefined
    /** It was pulled or pushed within so long. */
    readonly pulledWithinMs: number | undefined
  }
  /** `false`: what would go is only told. */
  readonly enforce: boolean
}

export interface Local {
  readonly namespace: LocalNamespace
  /** One name for every spelling: `docker.io/team/app` where the pattern names a registry, else without. */
  readonly repository: RepositoryName
}

export function localKey({ repository }: Local): RepositoryKey {
  return { registry: localRegistry, repository }
}

export function keyOf({ upstream, repository }: Target): RepositoryKey {
  return { registry: upstream.registry, repository }
}

/** Requests under one scope get one upstream answer: the same repository asked with the same credential. */
export function scopeOf({ upstream, repository }: Target): string {
  return `${upstream.registry}|${upstream.identity}|${repository}`
}

/** Who asks the same of the same upstream shares the answer. */
export function questionOf(target: Target, reference: Reference): string {
  return `${scopeOf(target)}:${referenceText(reference)}`
}
