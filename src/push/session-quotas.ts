/** Upload sessions held against the quota of their namespace, from the bytes that come to the blob that they become. */
import type { Digest } from '../oci/digest.ts'
import type { Local } from '../pull/target.ts'
import type { StoredUpload } from '../store/upload.ts'
import type { Chunk } from './body.ts'
import type { PushParts } from './deps.ts'
import { metered } from './metered.ts'
import type { Session } from './session.ts'

export class SessionQuotas {
  readonly #deps: Pick<PushParts, 'quotas' | 'namespaceOf' | 'limits'>

  constructor(deps: Pick<PushParts, 'quotas' | 'namespaceOf' | 'limits'>) {
    this.#deps = deps
  }

  /**
   * Appends as the session does.
   *
   * @param isFree nothing is added to what the namespace holds
   * @throws RegistryError DENIED (403): nothing of the chunk is kept
   */
  async write(
    { namespace }: Local,
    session: Session,
    { chunk, isFree }: { chunk: Chunk; isFree?: boolean | undefined },
  ): Promise<void> {
    const { quotas, limits } = this.#deps
    const reserved = quotas.session(namespace, session.id)
    if (!reserved || isFree) return session.write(chunk, limits.uploadBytes)
    const start = session.offset
    const reserve = (bytes: number) => quotas.resize(namespace, reserved, { bytes: start + bytes, tags: 0 })
    try {
      await session.write(metered(chunk, reserve), limits.uploadBytes)
    } finally {
      reserved.resize({ bytes: session.offset, tags: 0 })
    }
  }

  /** What was held for the session is the blob's from its record on. */
  async finish(
    { namespace }: Local,
    session: Session,
    { digest, store }: { digest: Digest; store: () => Promise<void> },
  ): Promise<void> {
    const { quotas } = this.#deps
    const becomes = { key: session.key, links: [{ kind: 'blob', name: digest }] } as const
    await quotas.becoming(quotas.session(namespace, session.id), becomes, store)
  }

  /** After a look at what is stored: sessions of earlier processes count, those that are gone do not. */
  recounted(found: Iterable<StoredUpload>, isOpen: (id: string) => boolean): void {
    const { quotas, namespaceOf } = this.#deps
    quotas.keepSessions(isOpen)
    for (const { id, note, size } of found) {
      const namespace = isOpen(id) ? namespaceOf(note) : undefined
      if (namespace) quotas.found(namespace, id, size)
    }
  }
}
