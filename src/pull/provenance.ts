/** How an answer was come by: what Cache-Status, the log and the metrics tell of it. */
import type { Outcome } from '../observe/metrics.ts'

export interface Provenance {
  readonly outcome: Outcome
  /** The object is kept for later requests. */
  readonly stored?: boolean
  /** Why it is stale, or what was done for it; one short sentence without secrets. */
  readonly detail?: string
  /** Milliseconds since upstream last confirmed the tag. */
  readonly ageMs?: number
  /** For how long the same is answered without asking anybody; undefined: it may be another thing the next time. */
  readonly lastsMs?: number
}

export const hit: Provenance = { outcome: 'hit', lastsMs: Number.POSITIVE_INFINITY }
export const missed: Provenance = { outcome: 'miss', stored: true }
export const collapsed: Provenance = { outcome: 'collapsed' }
export const revalidated: Provenance = { outcome: 'revalidated' }
/** The client is told where it lies. */
export const linked: Provenance = { outcome: 'hit', detail: 'in the object store' }
/** Relayed without being kept. */
export const bypassed: Provenance = { outcome: 'bypass' }
