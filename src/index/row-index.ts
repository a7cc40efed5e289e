/** The index over rows: which entry stands in which scope, and when the lack of a row means *absent*. */
import type { Digest } from '../oci/digest.ts'
import type { Descriptor } from '../oci/manifest.ts'
import type { Tag } from '../oci/name.ts'
import type {
  Answer,
  BlobEntry,
  Index,
  Listing,
  ListingEntry,
  ManifestEntry,
  RepositoryKey,
  TagEntry,
} from './index.ts'
import { type Rows, RowsUnavailable } from './rows.ts'

const absent = { answer: 'absent' } as const
const unknown = { answer: 'unknown' } as const
const everyRow = 2 ** 31

export class RowIndex implements Index {
  readonly #rows: Rows

  constructor(rows: Rows) {
    this.#rows = rows
  }

  /** Whether what is written outlives the process; the index answers either way. */
  get up(): boolean {
    return this.#rows.up
  }

  get epoch(): string {
    return this.#rows.epoch
  }

  async tag(key: RepositoryKey, tag: Tag): Promise<Answer<TagEntry>> {
    return this.#entry(key, 'tags', tag)
  }

  async putTag(key: RepositoryKey, tag: Tag, entry: TagEntry): Promise<void> {
    this.#put(scope('tags', key), tag, entry)
  }

  async dropTag(key: RepositoryKey, tag: Tag): Promise<void> {
    this.#rows.drop(scope('tags', key), tag)
  }

  async manifest(key: RepositoryKey, digest: Digest): Promise<Answer<ManifestEntry>> {
    return this.#entry(key, 'manifests', digest)
  }

  async putManifest(key: RepositoryKey, digest: Digest, entry: ManifestEntry): Promise<void> {
    this.#put(scope('manifests', key), digest, entry)
  }

  async dropManifest(key: RepositoryKey, digest: Digest): Promise<void> {
    this.#rows.drop(scope('manifests', key), digest)
  }

  async blob(key: RepositoryKey, digest: Digest): Promise<Answer<BlobEntry>> {
    return this.#entry(key, 'blobs', digest)
  }

  async putBlob(key: RepositoryKey, digest: Digest, entry: BlobEntry): Promise<void> {
    this.#put(scope('blobs', key), digest, entry)
    if (entry.isPublic) this.#put(publicScope(key.registry, digest), key.repository, entry)
    else this.#rows.drop(publicScope(key.registry, digest), key.repository)
  }

  async dropBlob(key: RepositoryKey, digest: Digest): Promise<void> {
    this.#rows.drop(scope('blobs', key), digest)
    this.#rows.drop(publicScope(key.registry, digest), key.repository)
  }

  async publicBlob(registry: string, digest: Digest): Promise<BlobEntry | undefined> {
    return this.#read(() => {
      const [first] = this.#rows.page(publicScope(registry, digest), '', 1)
      return first && (decode(first.value) as BlobEntry)
    }, undefined)
  }

  async referrers(key: RepositoryKey, subject: Digest): Promise<Answer<readonly Descriptor[]>> {
    return this.#read<Answer<readonly Descriptor[]>>(() => {
      if (!this.#isComplete(key, 'referrers')) return unknown
      const found = this.#rows.page(scope('referrers', key, subject), '', everyRow)
      if (found.length === 0) return absent
      return { answer: 'present', value: found.map(({ value }) => decode(value) as Descriptor) }
    }, unknown)
  }

  async putReferrer(key: RepositoryKey, subject: Digest, referrer: Descriptor): Promise<void> {
    this.#put(scope('referrers', key, subject), referrer.digest, referrer)
  }

  async dropReferrer(key: RepositoryKey, subject: Digest, referrer: Digest): Promise<void> {
    this.#rows.drop(scope('referrers', key, subject), referrer)
  }

  async tags(
    key: RepositoryKey,
    page: { last: string | undefined; limit: number },
  ): Promise<Answer<readonly Tag[]>> {
    return this.#read<Answer<readonly Tag[]>>(() => {
      if (!this.#isComplete(key, 'tags')) return unknown
      const found = this.#rows.page(scope('tags', key), page.last ?? '', page.limit)
      return { answer: 'present', value: found.map(({ name }) => name as Tag) }
    }, unknown)
  }

  async putChildren(key: RepositoryKey, children: readonly Descriptor[]): Promise<void> {
    for (const { digest, size } of children) this.#put(scope('children', key), digest, size)
  }

  async childSize(key: RepositoryKey, digest: Digest): Promise<number | undefined> {
    return this.#read(() => {
      const value = this.#rows.get(scope('children', key), digest)
      return value === undefined ? undefined : (decode(value) as number)
    }, undefined)
  }

  async listing(
    key: RepositoryKey,
    kind: 'tags' | 'referrers',
    query: string,
  ): Promise<ListingEntry | undefined> {
    return this.#read(() => {
      const value = this.#rows.get(scope('listing', key, kind), query)
      return value === undefined ? undefined : (decode(value) as ListingEntry)
    }, undefined)
  }

  async putListing(
    key: RepositoryKey,
    kind: 'tags' | 'referrers',
    query: string,
    entry: ListingEntry,
  ): Promise<void> {
    const row = { value: JSON.stringify(entry), expendableSince: entry.fetchedAt }
    this.#rows.put(scope('listing', key, kind), query, row)
  }

  async markComplete(key: RepositoryKey, listing: Listing, epoch = this.epoch): Promise<void> {
    this.#rows.put(scope('complete', key), listing, { value: epoch })
  }

  async flush(): Promise<void> {
    await this.#rows.flush()
  }

  async close(): Promise<void> {
    await this.#rows.close()
  }

  #put(place: string, name: string, entry: object | number) {
    this.#rows.put(place, name, { value: JSON.stringify(entry) })
  }

  #entry<T>(key: RepositoryKey, listing: Listing, name: string): Answer<T> {
    return this.#read<Answer<T>>(() => {
      const value = this.#rows.get(scope(listing, key), name)
      if (value !== undefined) return { answer: 'present', value: decode(value) as T }
      return this.#isComplete(key, listing) ? absent : unknown
    }, unknown)
  }

  #isComplete(key: RepositoryKey, listing: Listing): boolean {
    return this.#rows.get(scope('complete', key), listing) === this.#rows.epoch
  }

  #read<T>(read: () => T, otherwise: T): T {
    try {
      return read()
    } catch (error) {
      if (error instanceof RowsUnavailable) return otherwise
      throw error
    }
  }
}

type Kind = Listing | 'children' | 'complete' | 'listing'

/** A space stands in no registry, repository, tag or digest, so that no two scopes are spelled alike. */
function scope(kind: Kind, { registry, repository }: RepositoryKey, of = ''): string {
  return of === '' ? `${kind} ${registry} ${repository}` : `${kind} ${registry} ${repository} ${of}`
}

function publicScope(registry: string, digest: Digest): string {
  return `public ${registry} ${digest}`
}

function decode(value: string): unknown {
  try {
    return JSON.parse(value)
  } catch (cause) {
    throw new RowsUnavailable('a damaged row', { cause })
  }
}
