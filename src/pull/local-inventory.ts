/** How much a repository holds, counted by its records. */
import { entriesOf } from '../index/folders.ts'
import type { RepositoryKey } from '../store/layout.ts'
import type { Store } from '../store/store.ts'

/** Manifests that any of the repositories holds. */
export async function countManifests(
  { layout }: Pick<Store, 'layout'>,
  keys: readonly RepositoryKey[],
): Promise<number> {
  const names = new Set<string>()
  for (const key of keys) {
    for await (const { name } of entriesOf(layout.manifests(key))) names.add(name)
  }
  return names.size
}
