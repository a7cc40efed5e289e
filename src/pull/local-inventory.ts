/** How much a repository holds, counted by its records. */
import { opendir } from 'node:fs/promises'
import type { RepositoryKey } from '../store/layout.ts'
import type { Store } from '../store/store.ts'
import { isCode } from '../store/system-error.ts'

/** Manifests that any of the repositories holds. */
export async function countManifests(
  { layout }: Pick<Store, 'layout'>,
  keys: readonly RepositoryKey[],
): Promise<number> {
  const names = new Set<string>()
  for (const key of keys) {
    for await (const name of namesIn(layout.manifests(key))) names.add(name)
  }
  return names.size
}

async function* namesIn(folder: string): AsyncGenerator<string> {
  try {
    for await (const { name } of await opendir(folder, { bufferSize: 1024 })) yield name
  } catch (error) {
    if (!isCode(error, 'ENOENT')) throw error
  }
}
