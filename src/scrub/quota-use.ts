/** What local namespaces use of their quotas, counted from their records: beside whoever owns them, and as of no one moment. */
import { Count } from '../index/local/count.ts'
import type { Held, Link } from '../index/local/links.ts'
import { blobEntry, manifestEntry, tagEntry } from '../index/records.ts'
import type { LocalNamespace } from '../pull/target.ts'
import type { RepositoryKey } from '../store/layout.ts'
import type { Store } from '../store/store.ts'

export interface QuotaUse {
  readonly namespace: string
  /** Without those of uploads under way, of which the process that takes them knows. */
  readonly bytes: Share
  readonly tags: Share
}

interface Share {
  readonly used: number
  /** null: no limit. */
  readonly allowed: number | null
}

type Limited = Pick<LocalNamespace, 'name' | 'quota'>

/** Of those namespaces that have one. Rejects with an error of the disk. */
export async function countQuotas(
  store: Store,
  namespaces: readonly Limited[],
  namespaceOf: (key: RepositoryKey) => Limited | undefined,
): Promise<QuotaUse[]> {
  const uses: QuotaUse[] = []
  for (const { name, quota } of namespaces) {
    if (!quota) continue
    const held = await countNamespace(store, key => namespaceOf(key)?.name === name)
    const { bytes = null, tags = null } = quota
    uses.push({
      namespace: name,
      bytes: { used: held.bytes, allowed: bytes },
      tags: { used: held.tags, allowed: tags },
    })
  }
  return uses
}

function countNamespace(store: Store, isOurs: (key: RepositoryKey) => boolean): Promise<Held> {
  const count = new Count({
    store,
    isOurs,
    look: async (key, link, task) => task(await measure(store, key, link)),
    settled: async (_, task) => task(), // nobody tells us of writes
  })
  return count.run(new AbortController().signal)
}

async function measure(
  { layout, records }: Store,
  key: RepositoryKey,
  { kind, name }: Link,
): Promise<number> {
  if (kind === 'tag') {
    const found = await records.read(layout.tag(key, name))
    return found && tagEntry(found.record) ? 1 : 0
  }
  const found = await records.read(layout[kind](key, name))
  if (!found) return 0
  const entry = kind === 'blob' ? blobEntry(found.record) : manifestEntry(found.record)
  return entry?.size ?? 0
}
