/** Which manifests of a repository list what: hints of both, beside the manifests themselves. */
import type { Digest } from '../../oci/digest.ts'
import type { Descriptor } from '../../oci/manifest.ts'
import type { RepositoryKey } from '../../store/layout.ts'
import type { Answer } from '../index.ts'
import { hintBytes, packNumbers, unpackDigest, unpackNumber } from './codec.ts'
import type { EntryDeps } from './entries.ts'
import { lifeOf, listingKey, names, ranges, startsWith } from './keys.ts'

export class Kinship {
  readonly #deps: EntryDeps

  constructor(deps: EntryDeps) {
    this.#deps = deps
  }

  async put(key: RepositoryKey, parent: Digest, children: readonly Descriptor[]): Promise<void> {
    const pairs = children.map(
      ({ digest, size }) => [names.child(digest, parent), packNumbers(size)] as const,
    )
    await this.#deps.shelf.put(listingKey('manifests', key), lifeOf(key.registry), pairs)
  }

  async drop(key: RepositoryKey, parent: Digest, children: readonly Descriptor[]): Promise<void> {
    const dropped = children.map(({ digest }) => names.child(digest, parent))
    await this.#deps.shelf.drop(listingKey('manifests', key), dropped)
  }

  /** That a manifest of the repository lists it with. @throws RedisDown, Damaged */
  async size(key: RepositoryKey, digest: Digest): Promise<number | undefined> {
    const range = ranges.parents(digest)
    const member = await this.#deps.shelf.firstAfter(listingKey('manifests', key), range.prefix)
    if (!startsWith(member, range.prefix)) return undefined
    return unpackNumber(member.subarray(range.prefix.length + hintBytes))
  }

  /** Manifests held that list it, under the mark. */
  async parentsOf(key: RepositoryKey, child: Digest): Promise<Answer<readonly Digest[]>> {
    const range = ranges.parents(child)
    const read = (member: Buffer) => member.subarray(range.prefix.length).subarray(0, hintBytes)
    const wanted = { range, from: range.prefix, limit: Number.POSITIVE_INFINITY, read }
    return this.#deps.entries.through(key, 'manifests', wanted, hint =>
      this.#heldManifest(key, names.hinted(hint)),
    )
  }

  /** A manifest of this epoch whose name begins so. */
  async #heldManifest(key: RepositoryKey, name: Buffer): Promise<Digest | undefined> {
    const member = await this.#deps.shelf.firstAfter(listingKey('manifests', key), name)
    if (!startsWith(member, name)) return undefined
    const { digest, rest } = unpackDigest(member.subarray(ranges.manifests.prefix.length))
    this.#deps.stamps.believed(key, rest)
    return digest
  }
}
