/** Tags, and beside them which ones point at a digest: both are written in one go. */
import type { Digest } from '../../oci/digest.ts'
import type { Tag } from '../../oci/name.ts'
import type { RepositoryKey } from '../../store/layout.ts'
import type { Answer, Page, TagEntry } from '../index.ts'
import { hintBytes, packTag, unpackTag } from './codec.ts'
import type { EntryDeps } from './entries.ts'
import { afterText, lifeOf, listingKey, names, ranges, splitText } from './keys.ts'
import { setTag } from './scripts.ts'

/** Writes never fail. */
export class Tags {
  readonly #deps: EntryDeps

  constructor(deps: EntryDeps) {
    this.#deps = deps
  }

  async get(key: RepositoryKey, tag: Tag): Promise<Answer<TagEntry>> {
    return this.#deps.entries.entry(key, { listing: 'tags', name: names.tag(tag), unpack: unpackTag })
  }

  async put(key: RepositoryKey, tag: Tag, entry: TagEntry): Promise<void> {
    await this.#set(key, tag, Buffer.concat([this.#deps.stamps.of(key), packTag(entry)]))
  }

  async drop(key: RepositoryKey, tag: Tag): Promise<void> {
    await this.#set(key, tag, this.#deps.stamps.of(key))
  }

  async list(key: RepositoryKey, { last, limit }: Page): Promise<Answer<readonly Tag[]>> {
    const from = afterText(ranges.tags, last ?? '')
    const read = (member: Buffer) => {
      const { text, value } = splitText(ranges.tags.prefix, member)
      this.#deps.stamps.believed(key, value)
      return text as Tag
    }
    return this.#deps.entries.whole(key, 'tags', { range: ranges.tags, from, limit, read })
  }

  /** Those that point at it. */
  async of(key: RepositoryKey, digest: Digest): Promise<Answer<readonly Tag[]>> {
    const range = ranges.tagged(digest)
    const read = (member: Buffer) => member.toString('utf8', range.prefix.length) as Tag
    const wanted = { range, from: range.prefix, limit: Number.POSITIVE_INFINITY, read }
    return this.#deps.entries.through(key, 'tags', wanted, async tag => {
      const value = await this.#deps.shelf.value(listingKey('tags', key), names.tag(tag))
      const packed = value && this.#deps.stamps.believed(key, value)
      return packed && unpackTag(packed).digest === digest ? tag : undefined
    })
  }

  /** @param value with nothing behind the stamp: dropped */
  #set(key: RepositoryKey, tag: Tag, value: Buffer): Promise<void> {
    const hintAt = this.#deps.stamps.of(key).length
    const args = [names.tag(tag), value, hintAt + 1, hintAt + hintBytes, tag]
    return this.#deps.shelf.write(listingKey('tags', key), (client, full) =>
      client.eval(setTag, 1, full, lifeOf(key.registry) ?? '', ...args),
    )
  }
}
