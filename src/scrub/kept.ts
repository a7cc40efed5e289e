/** What a record says, by the kind that its folder stands for. */
import { type BlobRecord, linkTime, manifestEntry, referrerEntry, tagEntry } from '../index/records.ts'
import { type Digest, fromDashed } from '../oci/digest.ts'
import { isTag } from '../oci/name.ts'
import type { RepositoryKey } from '../store/layout.ts'
import type { StoredRecord } from '../store/records.ts'

/** A record by its file. */
export interface Place {
  readonly key: RepositoryKey
  readonly kind: 'tag' | 'manifest' | 'blob' | 'referrer'
  readonly name: string
  readonly path: string
}

export interface Kept {
  /** Of the bytes that it relies on. */
  readonly digest: Digest
  /** Undefined where it does not tell. */
  readonly size: number | undefined
  /** When it was written or used last, as it says itself. Milliseconds since the epoch. */
  readonly at: number
}

/** For people. */
export function titleOf({ kind, name }: Place): string {
  return `${kind} ${kind === 'tag' ? name : (fromDashed(name) ?? name)}`
}

/** Undefined for a record that is not of its kind. */
export function keptIn({ kind, name }: Pick<Place, 'kind' | 'name'>, record: StoredRecord): Kept | undefined {
  if (kind === 'tag') return isTag(name) ? inTag(record) : undefined
  const digest = fromDashed(name)
  if (!digest) return undefined
  if (kind === 'blob') return inBlob(digest, record)
  if (kind === 'manifest') return inManifest(digest, record)
  const descriptor = referrerEntry(record)
  return descriptor?.digest === digest ? { digest, size: descriptor.size, at: 0 } : undefined
}

function inTag(record: StoredRecord): Kept | undefined {
  const entry = tagEntry(record)
  return entry && { digest: entry.digest, size: entry.size, at: entry.movedAt }
}

function inBlob(digest: Digest, record: StoredRecord): Kept | undefined {
  const { size } = record as Partial<BlobRecord>
  if (size !== undefined && typeof size !== 'number') return undefined
  return { digest, size, at: linkTime(record) ?? 0 }
}

function inManifest(digest: Digest, record: StoredRecord): Kept | undefined {
  const entry = manifestEntry(record)
  return entry && { digest, size: entry.size, at: Math.max(entry.at, entry.pulledAt ?? 0) }
}
