/**
 * Which cached blobs go first when room is needed: the least recently used, where having been used at several times of
 * the day, and being small, counts as having been used later. Decisions only; docs/adr/0008 has the simulation.
 *
 * Each blob has a rank, a moment: when it was last used, plus twelve hours for the second use and twelve for the fourth,
 * plus up to two days for being small. The least rank goes first. Ranks do not change while nothing happens, so an
 * index in their order yields victims without a look at the others.
 *
 * What the caller does:
 * - *uses*: who asks for a manifest uses it and all that it lists, also what the client has and does not ask for: layers
 *   that run everywhere would else look forgotten. Each blob's use is noted at most once a minute.
 * - *kept over a restart*: a row {digest, sizeBytes, usedAt, uses, countedAt} and its rank, which is indexed, written in
 *   batches. Rows that are lost are made anew from the file, `arrived(sizeBytes, modifiedAt)`: used once, when it came.
 * - *nothing of who is gone*: who comes back begins anew.
 */

/** What is known of the use of a blob. Times are milliseconds since the epoch. */
export interface Usage {
  readonly sizeBytes: number
  readonly usedAt: number
  /** As far as they matter. */
  readonly uses: number
  /** When the last of `uses` was. */
  readonly countedAt: number
}

const hourMs = 3_600_000
const notedEveryMs = 60_000
/** A roll-out pulls a layer a hundred times within the hour, and tests a build some times: that is one use. */
const countedEveryMs = 6 * hourMs
/** For twice as many uses. With more, versions that were popular yesterday stay in the way of those of today. */
const perDoublingMs = 12 * hourMs
const mostUses = 4
/** Blobs of up to 64 KiB are half of all and hardly a byte in a thousand: manifests and configs outlast their layers. */
const smallBytes = 2 ** 20
const smallestBytes = 2 ** 16
const perHalvingMs = 12 * hourMs

const mostAddedMs = perDoublingMs * Math.log2(mostUses) + perHalvingMs * Math.log2(smallBytes / smallestBytes)

export function arrived(sizeBytes: number, at: number): Usage {
  return { sizeBytes, usedAt: at, uses: 1, countedAt: at }
}

/** After a use; undefined: the last one was noted less than a minute ago, and there is nothing to write. */
export function used(usage: Usage, now: number): Usage | undefined {
  const { sizeBytes, usedAt, uses, countedAt } = usage
  if (now >= usedAt && now - usedAt < notedEveryMs) return undefined
  if (now >= countedAt && now - countedAt < countedEveryMs) return { ...usage, usedAt: now }
  return { sizeBytes, usedAt: now, uses: Math.min(mostUses, uses + 1), countedAt: now }
}

/** The least goes first. */
export function rankOf({ sizeBytes, usedAt, uses }: Usage): number {
  const size = Math.min(smallBytes, Math.max(smallestBytes, sizeBytes))
  return usedAt + perDoublingMs * Math.log2(uses) + perHalvingMs * Math.log2(smallBytes / size)
}

/**
 * No rank can be beyond this. One that is comes from a clock that was ahead, and would keep its blob until the clock
 * is there, at the cost of all others: its blob counts as `arrived` now.
 */
export function lastRank(now: number): number {
  return now + mostAddedMs
}

/**
 * Who goes to make room for so many bytes: those of the least rank, but for whom has to stay. They may hold less than
 * that, when no more can go.
 *
 * @param ranked in the order of their ranks; read no further than needed
 * @param stays pinned, being read, being filled
 */
export function* victims<Blob extends { readonly sizeBytes: number }>(
  ranked: Iterable<Blob>,
  bytes: number,
  stays: (blob: Blob) => boolean,
): Generator<Blob, void, undefined> {
  if (bytes <= 0) return
  for (const blob of ranked) {
    if (stays(blob)) continue
    yield blob
    bytes -= blob.sizeBytes
    if (bytes <= 0) return
  }
}
