/** What a load came to, whoever made it. */

export interface Load {
  requests: number
  /** Received, heads included where the client counts them. */
  bytes: number
  seconds: number
  p50Ms: number
  p99Ms: number
  longestMs: number
  /** Answers other than 2xx and broken connections. */
  failed: number
  /** CPU of the client meanwhile, of one core. */
  clientBusy: number
}

export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}
