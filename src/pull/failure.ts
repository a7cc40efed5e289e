/** What a client is told of an upstream's failure where the policy has a say in it. */
import { RegistryError } from '../oci/errors.ts'
import { UpstreamError } from '../upstream/upstream-error.ts'
import type { CachePolicy } from './target.ts'

/** containerd repeats a 429 five times at once, so it becomes a 503 unless the policy wants it passed on. */
export function forClient(error: unknown, policy: CachePolicy): unknown {
  if (!(error instanceof UpstreamError) || error.failure !== 'rate-limited') return error
  if (policy.rateLimited === 'unavailable') return error
  const { message, details, retryAfterMs } = error
  return new RegistryError('TOOMANYREQUESTS', message, {
    details,
    cause: error,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  })
}
