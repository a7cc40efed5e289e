/** A store in a folder of its own. */
import { createLogger } from '../../../src/observe/log.ts'
import { createMetrics } from '../../../src/observe/metrics.ts'
import { openStore, type Store } from '../../../src/store/store.ts'
import { tempDir } from '../../support/temp-dir.ts'

export async function openTestStore(): Promise<
  { store: Store; path: string; warnings: string[] } & AsyncDisposable
> {
  const dir = await tempDir()
  const warnings: string[] = []
  const log = createLogger('warn', { write: line => warnings.push(line) })
  const store = await openStore(dir.path, { log, metrics: createMetrics() })
  return {
    store,
    path: dir.path,
    warnings,
    async [Symbol.asyncDispose]() {
      store.close()
      await dir[Symbol.asyncDispose]()
    },
  }
}
