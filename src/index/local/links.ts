/** Records by which a local repository holds something, as far as it is counted. */
import type { Digest } from '../../oci/digest.ts'
import type { Tag } from '../../oci/name.ts'

/** Its measure: bytes of a blob or manifest, 1 for a tag; 0 where there is no such record. */
export type Link =
  | { readonly kind: 'blob' | 'manifest'; readonly name: Digest }
  | { readonly kind: 'tag'; readonly name: Tag }

/** What a namespace holds: bytes of blobs and manifests, each once for each repository that holds it, and tags. */
export interface Held {
  bytes: number
  tags: number
}

/** Within a repository. */
export function idOf({ kind, name }: Link): string {
  return `${kind} ${name}`
}
