/** Blobs found without their repository: public ones of a registry, and who holds one locally. */
import type { Digest } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/name.ts'
import { localRegistry, type RepositoryKey } from '../../store/layout.ts'
import type { BlobEntry } from '../index.ts'
import { packBlob, unpackBlob } from './codec.ts'
import { holdersKey, names, proxiedLifeMs, publicKey, ranges, splitText, startsWith } from './keys.ts'
import type { Shelf } from './shelf.ts'

const nothing = Buffer.alloc(0)

/** Reads throw RedisDown and Damaged; writes never fail. */
export class Elsewhere {
  readonly #shelf: Shelf

  constructor(shelf: Shelf) {
    this.#shelf = shelf
  }

  put(key: RepositoryKey, digest: Digest, entry: BlobEntry): Promise<void> {
    if (key.registry === localRegistry)
      return this.#shelf.put(holdersKey(digest), undefined, [[names.holder(digest, key.repository), nothing]])
    if (!entry.isPublic) return this.drop(key, digest)
    const pair = [names.publicBlob(digest, key), packBlob(entry)] as const
    return this.#shelf.put(publicKey(key.registry, digest), proxiedLifeMs, [pair])
  }

  drop(key: RepositoryKey, digest: Digest): Promise<void> {
    return key.registry === localRegistry
      ? this.#shelf.drop(holdersKey(digest), [names.holder(digest, key.repository)])
      : this.#shelf.drop(publicKey(key.registry, digest), [names.publicBlob(digest, key)])
  }

  async publicBlob(registry: string, digest: Digest): Promise<BlobEntry | undefined> {
    const range = ranges.publicBlobs(digest)
    const member = await this.#shelf.firstAfter(publicKey(registry, digest), range.prefix)
    return startsWith(member, range.prefix) ? unpackBlob(names.behindPublic(range, member)) : undefined
  }

  async holdersOf(digest: Digest, limit: number): Promise<readonly RepositoryKey[]> {
    const { prefix } = ranges.holders(digest)
    const found: RepositoryKey[] = []
    for await (const members of this.#shelf.pages(holdersKey(digest), { prefix }))
      for (const member of members) {
        if (found.length >= limit) return found
        const repository = splitText(prefix, member).text as RepositoryName
        found.push({ registry: localRegistry, repository })
      }
    return found
  }
}
