/** How an answer was come by, for who asks: Cache-Status (RFC 9211), Age and Warning. */
import type { Provenance } from '../pull/provenance.ts'
import type { Headers } from './answer.ts'

/** A Warning header may have 4096 bytes in all (distribution-spec, "Warnings"). */
const maxTextLength = 512

const parameters: Record<Provenance['outcome'], string> = {
  hit: 'hit',
  miss: 'fwd=miss',
  stale: 'fwd=stale',
  revalidated: 'fwd=stale; fwd-status=304',
  collapsed: 'fwd=miss; collapsed',
  bypass: 'fwd=bypass',
  error: 'fwd=miss',
}

export function cacheHeaders({ outcome, stored, detail, ageMs }: Provenance): Headers {
  const quoted = detail === undefined ? undefined : quote(detail)
  const status = [
    'layover',
    parameters[outcome],
    ...(stored ? ['stored'] : []),
    ...(quoted ? [`detail=${quoted}`] : []),
  ]
  return {
    'cache-status': status.join('; '),
    ...(ageMs === undefined ? {} : { age: String(Math.max(0, Math.floor(ageMs / 1000))) }),
    ...(outcome === 'stale'
      ? { warning: `299 - ${quote(`served from cache: ${detail ?? 'not confirmed by upstream'}`)}` }
      : {}),
  }
}

/** A quoted string of visible ASCII (RFC 9110 §5.6.4). */
function quote(text: string): string {
  const visible = text.slice(0, maxTextLength).replaceAll(/[^\x20-\x7e]/g, '?')
  return `"${visible.replaceAll(/["\\]/g, '\\$&')}"`
}
