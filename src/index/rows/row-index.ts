/** The index over rows: which entry stands in which scope. */
import type { Digest } from '../../oci/digest.ts'
import type { Descriptor } from '../../oci/manifest.ts'
import type { RepositoryName, Tag } from '../../oci/name.ts'
import { localRegistry } from '../../store/layout.ts'
import type {
  Answer,
  BlobEntry,
  HeldManifest,
  Index,
  IndexState,
  ListingEntry,
  ManifestEntry,
  Page,
  RepositoryKey,
  TagEntry,
  Whole,
} from '../index.ts'
import { Answers } from './answers.ts'
import { EntryRows } from './entry-rows.ts'
import { CompletenessMarks } from './marks.ts'
import { childrenPlace, holdersPlace, place, publicPlace } from './places.ts'
import { RepositoryRows } from './repository-rows.ts'
import { type Rows, RowsUnavailable } from './rows.ts'

const unknown = { answer: 'unknown' } as const

export class RowIndex implements Index {
  readonly #rows: Rows
  readonly #entries: EntryRows
  readonly #repositories: RepositoryRows
  readonly #marks: CompletenessMarks
  readonly #answers: Answers

  constructor(rows: Rows) {
    this.#rows = rows
    this.#entries = new EntryRows(rows)
    this.#repositories = new RepositoryRows(rows, this.#entries)
    this.#marks = new CompletenessMarks(rows)
    this.#answers = new Answers(rows, this.#entries, this.#marks)
  }

  get up(): boolean {
    return this.#rows.up
  }

  get epoch(): string {
    return this.#rows.epoch
  }

  get shared(): IndexState | undefined {
    return this.#rows.isShared ? { epoch: this.epoch } : undefined
  }

  async tag(key: RepositoryKey, tag: Tag): Promise<Answer<TagEntry>> {
    return this.#answers.entry(key, 'tags', tag)
  }

  async putTag(key: RepositoryKey, tag: Tag, entry: TagEntry): Promise<void> {
    const before = this.#answers.or(() => this.#entries.get<TagEntry>(place('tags', key), tag), undefined)
    if (before?.entry.digest !== entry.digest) this.#untag(key, tag, before?.entry)
    this.#entries.put(place('tags', key), tag, entry)
    if (before?.entry.digest !== entry.digest || before.isOutdated)
      this.#entries.put(place('tagged', key, entry.digest), tag, 1)
    this.#repositories.put(key)
  }

  async dropTag(key: RepositoryKey, tag: Tag): Promise<void> {
    this.#untag(
      key,
      tag,
      this.#answers.or(() => this.#entries.get<TagEntry>(place('tags', key), tag), undefined)?.entry,
    )
    this.#entries.drop(place('tags', key), tag)
  }

  async tags(key: RepositoryKey, page: Page): Promise<Answer<readonly Tag[]>> {
    return this.#answers.whole(key, 'tags', () => this.#entries.names<Tag>(place('tags', key), page))
  }

  async tagsOf(key: RepositoryKey, digest: Digest): Promise<Answer<readonly Tag[]>> {
    return this.#answers.whole(key, 'tags', () =>
      this.#entries.names<Tag>(place('tagged', key, digest)).filter(tag => {
        const found = this.#entries.get<TagEntry>(place('tags', key), tag)
        return found?.entry.digest === digest && !found.isOutdated
      }),
    )
  }

  async manifest(key: RepositoryKey, digest: Digest): Promise<Answer<ManifestEntry>> {
    return this.#answers.entry(key, 'manifests', digest)
  }

  async putManifest(key: RepositoryKey, digest: Digest, entry: ManifestEntry): Promise<void> {
    this.#entries.put(place('manifests', key), digest, entry)
    this.#repositories.put(key)
  }

  async dropManifest(key: RepositoryKey, digest: Digest): Promise<void> {
    this.#entries.drop(place('manifests', key), digest)
  }

  async manifests(key: RepositoryKey, page: Page<Digest>): Promise<Answer<readonly HeldManifest[]>> {
    return this.#answers.whole(key, 'manifests', () =>
      this.#entries
        .page<ManifestEntry>(place('manifests', key), page.last ?? '', page.limit)
        .map(({ name, entry }) => ({ digest: name as Digest, entry })),
    )
  }

  async blob(key: RepositoryKey, digest: Digest): Promise<Answer<BlobEntry>> {
    return this.#answers.entry(key, 'blobs', digest)
  }

  async putBlob(key: RepositoryKey, digest: Digest, entry: BlobEntry): Promise<void> {
    const { registry, repository } = key
    this.#entries.put(place('blobs', key), digest, entry)
    if (registry === localRegistry) this.#entries.put(holdersPlace(digest), repository, 1)
    else if (entry.isPublic) this.#entries.put(publicPlace(registry, digest), repository, entry)
    else this.#entries.drop(publicPlace(registry, digest), repository)
    this.#repositories.put(key)
  }

  async dropBlob(key: RepositoryKey, digest: Digest): Promise<void> {
    const { registry, repository } = key
    this.#entries.drop(place('blobs', key), digest)
    const elsewhere = registry === localRegistry ? holdersPlace(digest) : publicPlace(registry, digest)
    this.#entries.drop(elsewhere, repository)
  }

  async publicBlob(registry: string, digest: Digest): Promise<BlobEntry | undefined> {
    const first = () => this.#entries.page<BlobEntry>(publicPlace(registry, digest), '', 1)[0]?.entry
    return this.#answers.or(first, undefined)
  }

  async holdersOf(digest: Digest, limit: number): Promise<readonly RepositoryKey[]> {
    const names = () => this.#entries.names<RepositoryName>(holdersPlace(digest), { last: undefined, limit })
    return this.#answers.or(names, []).map(repository => ({ registry: localRegistry, repository }))
  }

  async referrers(
    key: RepositoryKey,
    subject: Digest,
    page: Page<Digest>,
  ): Promise<Answer<readonly Descriptor[]>> {
    return this.#answers.whole(key, { referrersOf: subject }, () =>
      this.#entries
        .page<Descriptor>(place('referrers', key, subject), page.last ?? '', page.limit)
        .map(({ entry }) => entry),
    )
  }

  async putReferrer(key: RepositoryKey, subject: Digest, referrer: Descriptor): Promise<void> {
    this.#entries.put(place('referrers', key, subject), referrer.digest, referrer)
  }

  async dropReferrer(key: RepositoryKey, subject: Digest, referrer: Digest): Promise<void> {
    this.#entries.drop(place('referrers', key, subject), referrer)
  }

  async putChildren(key: RepositoryKey, parent: Digest, children: readonly Descriptor[]): Promise<void> {
    for (const { digest, size } of children) this.#entries.put(childrenPlace(key, digest), parent, size)
  }

  async dropChildren(key: RepositoryKey, parent: Digest, children: readonly Descriptor[]): Promise<void> {
    for (const { digest } of children) this.#entries.drop(childrenPlace(key, digest), parent)
  }

  async childSize(key: RepositoryKey, digest: Digest): Promise<number | undefined> {
    return this.#answers.or(
      () => this.#entries.page<number>(childrenPlace(key, digest), '', 1)[0]?.entry,
      undefined,
    )
  }

  async parentsOf(key: RepositoryKey, child: Digest): Promise<Answer<readonly Digest[]>> {
    return this.#answers.whole(key, 'manifests', () =>
      this.#entries.names<Digest>(childrenPlace(key, child)).filter(parent => {
        const found = this.#entries.get(place('manifests', key), parent)
        return found !== undefined && !found.isOutdated
      }),
    )
  }

  async listing(
    key: RepositoryKey,
    kind: 'tags' | 'referrers',
    query: string,
  ): Promise<ListingEntry | undefined> {
    const found = () => this.#entries.get<ListingEntry>(place('listing', key, kind), query)?.entry
    return this.#answers.or(found, undefined)
  }

  async putListing(
    key: RepositoryKey,
    kind: 'tags' | 'referrers',
    query: string,
    entry: ListingEntry,
  ): Promise<void> {
    const row = { value: JSON.stringify(entry), expendableSince: entry.fetchedAt }
    this.#rows.put(place('listing', key, kind).scope, query, row)
  }

  async registries(): Promise<readonly string[]> {
    return this.#answers.or(() => this.#repositories.registries(), [])
  }

  async repositories(registry: string, page: Page): Promise<Answer<readonly RepositoryName[]>> {
    const found = this.#answers.or(() => this.#repositories.page(registry, page), undefined)
    return found ? { answer: 'present', value: found as RepositoryName[] } : unknown
  }

  async putRepository(key: RepositoryKey): Promise<void> {
    this.#repositories.put(key)
  }

  async dropRepository(key: RepositoryKey): Promise<void> {
    this.#repositories.drop(key)
  }

  async markRepositoriesComplete(epoch = this.epoch): Promise<void> {
    await ifAvailable(this.#repositories.markComplete(epoch))
  }

  async markComplete(key: RepositoryKey, what: Whole, epoch = this.epoch): Promise<void> {
    await ifAvailable(this.#sweep(key, what).then(() => this.#marks.put(key, what, epoch)))
  }

  async markIncomplete(key: RepositoryKey, what: Whole): Promise<void> {
    this.#marks.drop(key, what)
  }

  renew(): void {
    this.#rows.renew()
  }

  async share(): Promise<IndexState | undefined> {
    await this.#rows.share()
    return this.shared
  }

  flush(): Promise<boolean> {
    return this.#rows.flush()
  }

  close(): Promise<void> {
    return this.#rows.close()
  }

  /** Drops what is left of earlier epochs. */
  async #sweep(key: RepositoryKey, what: Whole): Promise<void> {
    if (key.registry !== localRegistry || what === 'referrers') return // so many scopes: passed over when they are read
    if (what === 'tags')
      await this.#entries.sweep(place(what, key), name => void this.dropTag(key, name as Tag))
    else if (what === 'blobs')
      await this.#entries.sweep(place(what, key), name => void this.dropBlob(key, name as Digest))
    else {
      const swept = what === 'manifests' ? place(what, key) : place('referrers', key, what.referrersOf)
      await this.#entries.sweep(swept, name => this.#entries.drop(swept, name))
    }
  }

  #untag(key: RepositoryKey, tag: Tag, before: TagEntry | undefined): void {
    if (before) this.#entries.drop(place('tagged', key, before.digest), tag)
  }
}

/** A mark that cannot be made now is not made. */
async function ifAvailable(marking: Promise<void>): Promise<void> {
  try {
    await marking
  } catch (error) {
    if (!(error instanceof RowsUnavailable)) throw error
  }
}
