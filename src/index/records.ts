/** Records and the index entries that they stand for. */
import { type Digest, isDigest } from '../oci/digest.ts'
import { type Descriptor, viewManifest } from '../oci/manifest.ts'
import type { StoredRecord } from '../store/records.ts'
import type { BlobEntry, ManifestEntry, TagEntry } from './index.ts'

/** Where what a record speaks of came from. */
export type RecordSource = 'push' | 'upstream'

/** Times are milliseconds since the epoch, sizes bytes. */
export interface TagRecord extends StoredRecord {
  v: 1
  digest: Digest
  mediaType: string
  size?: number
  movedAt: number
  source: RecordSource
}

export interface ManifestRecord extends StoredRecord {
  v: 1
  mediaType: string
  size: number
  artifactType?: string
  subject?: Digest
  annotations?: Readonly<Record<string, string>>
  at: number
  pulledAt?: number
  /** When a collection first found no tag that points at it. */
  untaggedAt?: number
  source: RecordSource
  public?: true
}

export interface BlobRecord extends StoredRecord {
  v: 1
  size?: number
  /** When it came, or was last promised to a client that then need not push it. */
  at: number
  source: RecordSource
  public?: true
}

export interface ReferrerRecord extends StoredRecord {
  v: 1
  descriptor: Descriptor
}

export function tagRecord(entry: TagEntry, source: RecordSource): TagRecord {
  const { digest, mediaType, size, movedAt } = entry
  return { v: 1, digest, mediaType, ...(size === undefined ? {} : { size }), movedAt, source }
}

/** Undefined for a record that does not say enough. When the tag was last checked is not in it: then it is its age. */
export function tagEntry(record: StoredRecord): TagEntry | undefined {
  const { digest, mediaType, size, movedAt } = record as Partial<TagRecord>
  if (
    typeof digest !== 'string' ||
    !isDigest(digest) ||
    typeof movedAt !== 'number' ||
    typeof mediaType !== 'string'
  )
    return undefined
  return { digest, mediaType, size, movedAt, checkedAt: movedAt, missingSince: undefined }
}

export function manifestRecord(entry: ManifestEntry, source: RecordSource): ManifestRecord {
  const { mediaType, size, artifactType, subject, annotations, at, pulledAt, isPublic } = entry
  return {
    v: 1,
    mediaType,
    size,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(subject === undefined ? {} : { subject }),
    ...(annotations === undefined ? {} : { annotations }),
    at,
    ...(pulledAt === undefined ? {} : { pulledAt }),
    source,
    ...(isPublic ? { public: true } : {}),
  }
}

export function manifestEntry(record: StoredRecord): ManifestEntry | undefined {
  const { mediaType, size, artifactType, subject, annotations, at, pulledAt } =
    record as Partial<ManifestRecord>
  if (typeof mediaType !== 'string' || typeof size !== 'number' || typeof at !== 'number') return undefined
  return {
    mediaType,
    size,
    artifactType,
    subject,
    annotations,
    at,
    pulledAt,
    isPublic: record.public === true,
  }
}

export function blobRecord(entry: BlobEntry, at: number, source: RecordSource): BlobRecord {
  const { size, isPublic } = entry
  return {
    v: 1,
    ...(size === undefined ? {} : { size }),
    at,
    source,
    ...(isPublic ? { public: true } : {}),
  }
}

export function blobEntry(record: StoredRecord): BlobEntry {
  const { size } = record as Partial<BlobRecord>
  return { size, isPublic: record.public === true }
}

export function linkTime(record: StoredRecord): number | undefined {
  const { at } = record as Partial<BlobRecord>
  return typeof at === 'number' ? at : undefined
}

export function referrerRecord(descriptor: Descriptor): ReferrerRecord {
  return { v: 1, descriptor }
}

/** The descriptor that a referrer's record keeps. */
export function referrerEntry(record: StoredRecord): Descriptor | undefined {
  const { descriptor } = record as Partial<ReferrerRecord>
  return typeof descriptor?.digest === 'string' && isDigest(descriptor.digest) ? descriptor : undefined
}

/** What a manifest lists; nothing where its bytes are not here, or are no manifest's. */
export function childrenOf(body: Uint8Array | undefined): Descriptor[] {
  const view = body && viewManifest(body)
  return view ? [...view.blobs, ...view.manifests] : []
}
