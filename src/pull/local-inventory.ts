/** How much a repository holds, counted by its records. */
import type { RepositoryKey } from '../store/layout.ts'
import type { Store } from '../store/store.ts'

/** Waited for together. */
const namesAtOnce = 256

/** Manifests that any of the repositories holds. */
export async function countManifests(
  { layout, names }: Pick<Store, 'layout' | 'names'>,
  keys: readonly RepositoryKey[],
): Promise<number> {
  const found = new Set<string>()
  for (const key of keys) {
    for await (const some of names.in(layout.manifests(key), namesAtOnce))
      for (const name of some) found.add(name)
  }
  return found.size
}
