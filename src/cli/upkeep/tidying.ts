/** What is cached stays below its limits ahead of need. */
import type { Clock } from '../../runtime/clock.ts'
import type { Store } from '../../store/store.ts'

/** How often what is cached is looked at for what is too much. */
const everyMs = 10_000

/** Resolves when the signal ends it. */
export async function keepTidy(
  { capacity }: Pick<Store, 'capacity'>,
  { clock, signal }: { clock: Clock; signal: AbortSignal },
): Promise<void> {
  while (!signal.aborted) {
    await capacity?.tidy()
    await clock.sleep(everyMs, signal).catch(() => {}) // the stop ends the loop
  }
}
