/** How long a revalidation is waited for. */
import type { Clock } from '../../runtime/clock.ts'
import { UpstreamError } from '../../upstream/upstream-error.ts'
import type { Target } from '../target.ts'

/** What comes of it, or a failure when it takes longer than the policy allows: it goes on for those who come later. */
export async function inTime<T>(
  result: Promise<T>,
  { upstream }: Target,
  clock: Clock,
): Promise<T | { failure: unknown }> {
  const { revalidateMs } = upstream.options.timeouts
  const giveUp = new AbortController()
  const late = clock.sleep(revalidateMs, giveUp.signal).then(
    () => ({
      failure: new UpstreamError(
        upstream.registry,
        'timeout',
        `${upstream.registry} took longer than ${revalidateMs} ms`,
      ),
    }),
    () => ({ failure: giveUp.signal.reason }),
  )
  try {
    return await Promise.race([result, late])
  } finally {
    giveUp.abort()
  }
}
