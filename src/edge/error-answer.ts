/** Errors as the distribution specification wants them; the only place that turns one into an answer. */
import { RegistryError } from '../oci/errors.ts'
import { isOutOfDescriptors } from '../runtime/descriptors.ts'
import { type Answer, json } from './answer.ts'
import type { Facts } from './exchange.ts'

/** An error of another kind is a fault of ours: its message may hold paths and goes to the log alone. */
export function errorAnswer(error: unknown, facts: Facts): Answer {
  facts.error = error
  const mayBeUpstreams = facts.kind !== undefined && facts.upstream !== 'local'
  facts.provenance = mayBeUpstreams ? { outcome: 'error' } : undefined
  const known = error instanceof RegistryError ? error : ours(error)
  const { code, message, details, status, headers, retryAfterMs } = known
  const errors = details.map(detail => ({ code, message, ...(detail === undefined ? {} : { detail }) }))
  const answer = json({ errors }, { status })
  const retry =
    retryAfterMs === undefined ? {} : { 'retry-after': String(Math.max(1, Math.ceil(retryAfterMs / 1000))) }
  return { ...answer, headers: { ...answer.headers, ...retry, ...headers } }
}

function ours(cause: unknown): RegistryError {
  if (!isOutOfDescriptors(cause))
    return new RegistryError('UNKNOWN', 'internal error; see the log', { cause })
  const message = 'the registry has too many files and connections open: try again in a moment'
  return new RegistryError('UNAVAILABLE', message, { cause, retryAfterMs: 5_000 })
}
