/** The records of proxied repositories and the index entries that they stand for. */
import { type Digest, isDigest } from '../oci/digest.ts'
import type { StoredRecord } from '../store/records.ts'
import type { BlobEntry, ManifestEntry, TagEntry } from './index.ts'

/** Times are milliseconds since the epoch, sizes bytes. */
export interface TagRecord extends StoredRecord {
  v: 1
  digest: Digest
  mediaType: string
  size?: number
  movedAt: number
  source: 'upstream'
}

export interface ManifestRecord extends StoredRecord {
  v: 1
  mediaType: string
  size: number
  artifactType?: string
  subject?: Digest
  annotations?: Readonly<Record<string, string>>
  at: number
  source: 'upstream'
  public?: true
}

export interface BlobRecord extends StoredRecord {
  v: 1
  size?: number
  at: number
  source: 'upstream'
  public?: true
}

export function tagRecord(entry: TagEntry): TagRecord {
  const { digest, mediaType, size, movedAt } = entry
  return { v: 1, digest, mediaType, ...(size === undefined ? {} : { size }), movedAt, source: 'upstream' }
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

export function manifestRecord(entry: ManifestEntry, at: number): ManifestRecord {
  const { mediaType, size, artifactType, subject, annotations, isPublic } = entry
  return {
    v: 1,
    mediaType,
    size,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(subject === undefined ? {} : { subject }),
    ...(annotations === undefined ? {} : { annotations }),
    at,
    source: 'upstream',
    ...(isPublic ? { public: true } : {}),
  }
}

export function manifestEntry(record: StoredRecord): ManifestEntry | undefined {
  const { mediaType, size, artifactType, subject, annotations } = record as Partial<ManifestRecord>
  if (typeof mediaType !== 'string' || typeof size !== 'number') return undefined
  return { mediaType, size, artifactType, subject, annotations, isPublic: record.public === true }
}

export function blobRecord(entry: BlobEntry, at: number): BlobRecord {
  const { size, isPublic } = entry
  return {
    v: 1,
    ...(size === undefined ? {} : { size }),
    at,
    source: 'upstream',
    ...(isPublic ? { public: true } : {}),
  }
}

export function blobEntry(record: StoredRecord): BlobEntry {
  const { size } = record as Partial<BlobRecord>
  return { size, isPublic: record.public === true }
}
