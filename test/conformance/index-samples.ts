/** Keys and entries to put into an index. */
import type { ManifestEntry, RepositoryKey, TagEntry } from '../../src/index/index.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import type { Descriptor } from '../../src/oci/manifest.ts'
import { mediaTypes } from '../../src/oci/media-type.ts'
import { parseRepositoryName } from '../../src/oci/name.ts'

export const keyOf = (repository: string, registry = 'docker.io'): RepositoryKey => ({
  registry,
  repository: parseRepositoryName(repository),
})
export const digest = (content: string): Digest => digestOf(Buffer.from(content))
export const tagged = (content: string, more: Partial<TagEntry> = {}): TagEntry => ({
  digest: digest(content),
  mediaType: mediaTypes.ociIndex,
  size: 527,
  movedAt: 1_700_000_000_000,
  checkedAt: 1_700_000_300_000,
  missingSince: undefined,
  ...more,
})
export const manifestEntry = (more: Partial<ManifestEntry> = {}): ManifestEntry => ({
  mediaType: mediaTypes.ociManifest,
  size: 1234,
  artifactType: undefined,
  subject: undefined,
  annotations: undefined,
  at: 1_700_000_000_000,
  pulledAt: undefined,
  isPublic: false,
  ...more,
})
export const everything = { last: undefined, limit: 1000 } as const
export const referrer = (content: string): Descriptor => ({
  mediaType: mediaTypes.ociManifest,
  digest: digest(content),
  size: content.length,
  artifactType: 'application/vnd.example.signature',
  annotations: { 'org.example.note': 'ä "quoted" \u2028' },
})
