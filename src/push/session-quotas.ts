/** Upload sessions held against the quota of their namespace, from the bytes that come to the blob that they become. */
import type { PushedBlob } from '../index/local/pushed-blob.ts'
import type { Digest } from '../oci/digest.ts'
import type { Local, LocalNamespace } from '../pull/target.ts'
import type { StoredUpload } from '../store/upload.ts'
import type { Chunk } from './body.ts'
import type { PushParts } from './deps.ts'
import { metered } from './metered.ts'
import type { Session } from './session.ts'

export type Allow = PushedBlob['allow']

export class SessionQuotas {
  readonly #deps: Pick<PushParts, 'quotas' | 'namespaceOf' | 'limits'>

  constructor(deps: Pick<PushParts, 'quotas' | 'namespaceOf' | 'limits'>) {
    this.#deps = deps
  }

  /**
   * Appends as the session does.
   *
   * @param free so many bytes in all add nothing to what the namespace holds
   * @throws RegistryError DENIED (403): nothing of the chunk is kept
   */
  async write(
    { namespace }: Local,
    session: Session,
    { chunk, free = 0 }: { chunk: Chunk; free?: number | undefined },
  ): Promise<void> {
    const { quotas, limits } = this.#deps
    if (!namespace.quota) return session.write(chunk, limits.uploadBytes)
    const start = session.offset
    const reserve = (bytes: number) => {
      const reserved = quotas.session(namespace, session.id) // another one once all is counted anew
      if (reserved && start + bytes > free)
        quotas.resize(namespace, reserved, { bytes: start + bytes, tags: 0 })
    }
    try {
      await session.write(metered(chunk, reserve), limits.uploadBytes)
    } catch (error) {
      this.#takeDown(namespace, session)
      throw error
    }
    if (session.offset > free) this.#takeDown(namespace, session)
  }

  /** What was held for the session is the blob's from its record on. */
  async finish(
    { namespace }: Local,
    session: Session,
    { digest, store }: { digest: Digest; store: (allow: Allow) => Promise<void> },
  ): Promise<void> {
    const { quotas } = this.#deps
    const reserved = quotas.session(namespace, session.id)
    const becomes = { key: session.key, links: [{ kind: 'blob', name: digest }] } as const
    const allow = quotas.certain(namespace, reserved, session.offset)
    try {
      await quotas.becoming(reserved, becomes, () => store(allow))
    } catch (error) {
      if (!session.isOver) this.#takeDown(namespace, session)
      throw error
    }
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

  /** It is open, with what has come of it. */
  #takeDown(namespace: LocalNamespace, { id, offset }: Session): void {
    this.#deps.quotas.session(namespace, id)?.resize({ bytes: offset, tags: 0 })
  }
}
