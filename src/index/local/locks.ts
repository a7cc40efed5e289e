/**
 * What is locked, in the order of the keys: contents, then the repository, then tags.
 * A write holds what it changes alone and what it relies on with others; who finds a repository empty holds that alone.
 */
import type { Digest } from '../../oci/digest.ts'
import type { Tag } from '../../oci/name.ts'
import type { RepositoryKey } from '../../store/layout.ts'

/** The records of a digest: as a blob, as a manifest, and as a referrer. */
export function contentLock({ repository }: RepositoryKey, digest: Digest): string {
  return `content ${repository} ${digest}`
}

/** Held with others while something of the repository is written. */
export function repositoryLock({ repository }: RepositoryKey): string {
  return `repository ${repository}`
}

export function tagLock({ repository }: RepositoryKey, tag: Tag): string {
  return `tag ${repository} ${tag}`
}
