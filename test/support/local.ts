/** Local namespaces for tests, which say only what they are about. */
import type { LocalNamespace } from '../../src/pull/target.ts'

export type LocalSetting = Pick<LocalNamespace, 'name' | 'match'> & Partial<LocalNamespace>

/** A namespace with the defaults of upstreams.yaml. */
export function local(setting: LocalSetting): LocalNamespace {
  return {
    overlay: false,
    immutableTags: [],
    delete: true,
    missingReferences: 'accept',
    untaggedMs: Number.POSITIVE_INFINITY,
    retention: [],
    ...setting,
  }
}
