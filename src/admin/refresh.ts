/** Upstream asked about tags now, whatever their freshness. */
import type { Digest } from '../oci/digest.ts'
import type { Tag } from '../oci/name.ts'
import type { Reference } from '../oci/reference.ts'
import { keyOf, type Target } from '../pull/target.ts'
import { isGuarded } from '../pull/verdicts.ts'
import type { AdminDeps } from './deps.ts'
import { AdminError, failureOf } from './failure.ts'

export const outcomes = ['unchanged', 'moved', 'fetched', 'missing', 'dropped', 'failed'] as const
type Outcome = (typeof outcomes)[number]

interface Refreshed {
  readonly tag: Tag
  /** Where it points now. */
  readonly digest: Digest | null
  /** Where it pointed before. */
  readonly was: Digest | null
  readonly outcome: Outcome
  readonly failure: string | null
}

type Found = Pick<Refreshed, 'digest' | 'was'> & { readonly isKept: boolean }

/** More tags are for somebody else to choose from. */
const maxTags = 1_000
const atOnce = 4

/**
 * One tag, or every cached one of the repository. What upstream does not answer for stays as it is.
 *
 * @throws UpstreamError for one tag
 */
export async function refresh(
  deps: AdminDeps,
  target: Target,
  reference: Reference | undefined,
): Promise<Refreshed[]> {
  const key = keyOf(target)
  if (isGuarded(target))
    throw new AdminError(
      'CONFLICT',
      `${target.upstream.registry} is asked with its callers' logins alone: the next pull of one of them refreshes it`,
    )
  if (reference?.kind === 'digest')
    throw new AdminError('INVALID_REQUEST', 'a digest names the same bytes for ever: refresh a tag')
  try {
    if (reference) return [await refreshTag(deps, target, reference.tag)]
    const tags = await deps.cachedListings.tags(key, { last: undefined, limit: maxTags + 1 })
    if (tags.length > maxTags)
      throw new AdminError(
        'CONFLICT',
        `more than ${maxTags} tags of it are cached: refresh those that matter`,
      )
    return await refreshAll(deps, target, tags)
  } finally {
    await deps.changed(key)
  }
}

async function refreshAll(deps: AdminDeps, target: Target, tags: readonly Tag[]) {
  const left = tags.values()
  const refreshed: Refreshed[] = []
  const refreshOne = (tag: Tag) =>
    refreshTag(deps, target, tag).catch((error: unknown) => failedTag(tag, error))
  const work = async () => {
    for (const tag of left) refreshed.push(await refreshOne(tag))
  }
  await Promise.all(Array.from({ length: atOnce }, work))
  return refreshed.sort((one, other) => (one.tag < other.tag ? -1 : 1))
}

async function refreshTag({ pull }: AdminDeps, target: Target, tag: Tag): Promise<Refreshed> {
  const { digest = null, before, isKept = false } = await pull.manifests.refresh(target, tag)
  const was = before?.digest ?? null
  return { tag, digest, was, outcome: outcomeOf({ digest, was, isKept }), failure: null }
}

function failedTag(tag: Tag, error: unknown): Refreshed {
  const { message } = failureOf(error).body.error
  return { tag, digest: null, was: null, outcome: 'failed', failure: message }
}

function outcomeOf({ digest, was, isKept }: Found): Outcome {
  if (digest === null) return isKept ? 'missing' : 'dropped'
  if (was === null) return 'fetched'
  return digest === was ? 'unchanged' : 'moved'
}
