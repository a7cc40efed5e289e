/** Which tags the rules of a namespace no longer keep. */
import type { Digest } from '../oci/digest.ts'
import type { Tag } from '../oci/name.ts'
import { matchesPattern } from '../oci/pattern.ts'
import type { LocalNamespace, RetentionRule } from '../pull/target.ts'
import type { Run } from './run.ts'

export interface TagFacts {
  readonly tag: Tag
  readonly digest: Digest
  /** When it, or what it points at, was last pushed. All times are milliseconds since the epoch. */
  readonly pushedAt: number
  readonly pulledAt: number | undefined
}

export interface Expired {
  readonly facts: TagFacts
  readonly rule: RetentionRule
}

/** Pull times are written hourly, and a manifest that is given from memory is noted once an hour at most. */
export const pullLagMs = 2 * 3_600_000

/** A tag goes when it is not immutable, and none of the conditions of the first rule that matches it holds. */
export function expiredTags(
  tags: readonly TagFacts[],
  { retention, immutableTags }: Pick<LocalNamespace, 'retention' | 'immutableTags'>,
  isPast: Run['isPast'],
): Expired[] {
  const ruled = new Map<RetentionRule, TagFacts[]>(retention.map(rule => [rule, []]))
  for (const facts of tags) {
    if (immutableTags.some(pattern => matchesPattern(pattern, facts.tag))) continue
    const rule = retention.find(({ match }) => matchesPattern(match, facts.tag))
    if (rule) ruled.get(rule)?.push(facts)
  }
  return [...ruled].flatMap(([rule, its]) =>
    its
      .filter(({ pushedAt }) => isPast(pushedAt, 0)) // what a clock that was ahead took down stays, in nobody's place
      .sort(newestFirst)
      .filter((facts, nth) => !isKept(rule, facts, { nth, isPast }))
      .map(facts => ({ facts, rule })),
  )
}

function isKept(
  { keep }: RetentionRule,
  { pushedAt, pulledAt = Number.NEGATIVE_INFINITY }: TagFacts,
  { nth, isPast }: { nth: number; isPast: Run['isPast'] },
): boolean {
  const { last = 0, newerThanMs = 0, pulledWithinMs = 0 } = keep
  if (nth < last || !isPast(pushedAt, newerThanMs)) return true
  // What was pushed had no time to be pulled yet.
  return (
    pulledWithinMs > 0 && !(isPast(pushedAt, pulledWithinMs) && isPast(pulledAt, pulledWithinMs + pullLagMs))
  )
}

function newestFirst(one: TagFacts, other: TagFacts): number {
  if (one.pushedAt !== other.pushedAt) return other.pushedAt - one.pushedAt
  return one.tag < other.tag ? 1 : -1
}
