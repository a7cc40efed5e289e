/** What the clients of a soak have seen since somebody last looked. */

export interface Tally {
  pulls: number
  /** Whole answers to GETs of manifests and blobs of the mirrored registry. */
  objects: number
  /** Body bytes of these, and of those that were left. */
  bytes: number
  pushes: number
  /** Milliseconds of each answer to the question for one cached manifest. */
  probesMs: number[]
  /** Requests that failed though nobody left, by reason. */
  failed: Map<string, number>
  /** Answers that were not what they say: there should be none. */
  wrong: string[]
}

export function emptyTally(): Tally {
  return { pulls: 0, objects: 0, bytes: 0, pushes: 0, probesMs: [], failed: new Map(), wrong: [] }
}

/** Latencies are of a line each, and not summed up. */
export function addTally(sum: Tally, { failed, wrong, ...more }: Tally): void {
  sum.pulls += more.pulls
  sum.objects += more.objects
  sum.bytes += more.bytes
  sum.pushes += more.pushes
  sum.wrong.push(...wrong)
  for (const [reason, count] of failed) sum.failed.set(reason, (sum.failed.get(reason) ?? 0) + count)
}
