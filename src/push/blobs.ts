/** Deleting blobs of a local repository: its link goes, the bytes stay for those who hold them too. */
import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import { type Local, localKey } from '../pull/target.ts'
import type { PushDeps } from './deps.ts'

export class Blobs {
  readonly #deps: PushDeps

  constructor(deps: PushDeps) {
    this.#deps = deps
  }

  /**
   * Nobody gets the blob from this repository any more when it resolves.
   *
   * @throws RegistryError BLOB_UNKNOWN (404), UNSUPPORTED (405) while a manifest of the repository lists it
   */
  async delete(local: Local, digest: Digest): Promise<void> {
    const held = await this.#deps.holdings.dropBlob(localKey(local), digest, parents => {
      const [parent] = parents
      if (parent === undefined) return
      throw new RegistryError('UNSUPPORTED', `${parent} lists the blob: delete that manifest first`, {
        headers: { allow: 'GET, HEAD' },
      })
    })
    if (!held) throw new RegistryError('BLOB_UNKNOWN', `${local.repository} holds no blob ${digest}`)
  }
}
