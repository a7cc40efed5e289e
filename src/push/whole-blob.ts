/** A blob that came whole, and is in memory. */
import type { Digest } from '../oci/digest.ts'
import { type Local, localKey } from '../pull/target.ts'
import { storeClaimed } from './claimed.ts'
import type { PushParts } from './deps.ts'

export interface WholeBlob {
  /** Of the content: the caller has compared it. */
  readonly digest: Digest
  readonly content: Buffer
  /** The repository holds it already, and only its bytes are missing. */
  readonly isHeld: boolean
}

/** @throws RegistryError DENIED (403) where the quota leaves no room */
export async function storeWhole(
  { store, holdings, quotas }: PushParts,
  local: Local,
  { digest, content, isHeld }: WholeBlob,
): Promise<undefined> {
  const key = localKey(local)
  const size = content.length
  using reserved = quotas.reserve(local.namespace, { bytes: isHeld ? 0 : size, tags: 0 })
  const allow = quotas.certain(local.namespace, reserved, size)
  await quotas.becoming(reserved, { key, links: [{ kind: 'blob', name: digest }] }, () =>
    storeClaimed(store, digest, {
      put: () => store.pushed.put(digest, content),
      name: stored => holdings.putBlob(key, digest, { size, stored, allow }),
    }),
  )
  return undefined
}
