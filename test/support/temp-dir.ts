/** A folder of its own for each test. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** `await using dir = await tempDir()`: removed with everything in it at the end of the scope. */
export async function tempDir() {
  const path = await mkdtemp(join(tmpdir(), 'layover-'))
  return {
    path,
    join: (...parts: string[]) => join(path, ...parts),
    async [Symbol.asyncDispose]() {
      // A process that was killed may be writing its last.
      await rm(path, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}
