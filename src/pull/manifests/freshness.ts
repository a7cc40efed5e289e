/** When a cached tag is asked again, and when it is served although upstream did not confirm it. Decisions only. */
import type { TagEntry } from '../../index/index.ts'
import type { Tag } from '../../oci/name.ts'
import { matchesPattern } from '../../oci/pattern.ts'
import { UpstreamError } from '../../upstream/upstream-error.ts'
import type { CachePolicy } from '../target.ts'

/** A tag that no pattern matches is asked each time. */
export function freshMs(policy: CachePolicy, tag: Tag): number {
  return policy.tags.find(({ match }) => matchesPattern(match, tag))?.freshMs ?? 0
}

export function isFresh(entry: TagEntry, policy: CachePolicy, tag: Tag, now: number): boolean {
  return entry.missingSince === undefined && ageOf(entry.checkedAt, now) < freshMs(policy, tag)
}

/** A moment that lies ahead comes from a clock that was set back since: it counts no longer than any other. */
function ageOf(at: number, now: number): number {
  return Math.abs(now - at)
}

/** What a failed revalidation means for the cached tag. */
export type Verdict = 'serve' | 'drop' | 'refuse'

export function judge(entry: TagEntry, failure: unknown, policy: CachePolicy, now: number): Verdict {
  if (!(failure instanceof UpstreamError)) return 'refuse'
  if (failure.failure === 'not-allowed' || failure.failure === 'caller-refused') return 'refuse'
  if (failure.absent)
    return ageOf(entry.missingSince ?? now, now) < policy.onNotFound.serveForMs ? 'serve' : 'drop'
  return ageOf(entry.checkedAt, now) <= policy.maxStaleMs ? 'serve' : 'refuse'
}
