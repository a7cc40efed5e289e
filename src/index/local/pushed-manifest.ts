/** A manifest on its way into a local repository, and the entries that it becomes. */
import type { Digest } from '../../oci/digest.ts'
import type { Descriptor, ManifestView } from '../../oci/manifest.ts'
import type { Tag } from '../../oci/name.ts'
import type { ManifestEntry, TagEntry } from '../index.ts'

export interface PushedManifest {
  readonly mediaType: string
  /** Bytes. */
  readonly size: number
  /** Its bytes are on disk when this resolves; nobody hears of the manifest before. */
  readonly stored: Promise<void>
  readonly view: ManifestView
  /** Come to point at it, all or none. */
  readonly tags: readonly Tag[]
  /** What the repository has to hold so that it is not among `missing`; empty: not looked at. */
  readonly requires: readonly Descriptor[]
  /** Asked before anything is written, while nothing of it can change. Throws to refuse. */
  readonly allow: (found: Found) => void
}

export interface Found {
  /** What the tags point at now. */
  readonly current: ReadonlyMap<Tag, TagEntry>
  /** Those of `requires` that the repository lacks. */
  readonly missing: readonly Descriptor[]
  /** The repository holds the manifest already. */
  readonly isHeld: boolean
}

export function manifestOf(
  { mediaType, size, view }: PushedManifest,
  at: number,
  pulledAt: number | undefined,
): ManifestEntry {
  const { artifactType, subject, annotations } = view
  return {
    mediaType,
    size,
    artifactType,
    subject: subject?.digest,
    annotations,
    at,
    pulledAt,
    isPublic: false,
  }
}

/** As it is listed among the referrers of its subject. */
export function descriptorOf(digest: Digest, { mediaType, size, view }: PushedManifest): Descriptor {
  const { artifactType, annotations } = view
  return {
    mediaType,
    digest,
    size,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(annotations === undefined ? {} : { annotations }),
  }
}

/** A tag that pointed at it already has not moved. */
export function movedTags(
  digest: Digest,
  { mediaType, size, tags }: PushedManifest,
  { current, now }: { current: ReadonlyMap<Tag, TagEntry>; now: number },
): ReadonlyMap<Tag, TagEntry> {
  return new Map(
    tags.map(tag => {
      const before = current.get(tag)
      const movedAt = before?.digest === digest ? before.movedAt : now
      return [tag, { digest, mediaType, size, movedAt, checkedAt: movedAt, missingSince: undefined }]
    }),
  )
}
