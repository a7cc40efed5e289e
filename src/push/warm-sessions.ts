/** Sessions between two requests, which keep their file and hash at hand: so many, and so long. */
import { LRUCache } from 'lru-cache'
import type { Session } from './session.ts'

const limits = { max: 256, ttl: 60_000 }

/** One that leaves unasked is closed, and goes on from its files. */
export class WarmSessions {
  readonly #sessions = new LRUCache<string, Session>({
    ...limits,
    ttlAutopurge: true,
    dispose: (session, _id, reason) => {
      if (reason !== 'delete') session.close()
    },
  })

  put(session: Session): void {
    this.#sessions.set(session.id, session)
  }

  get(id: string): Session | undefined {
    return this.#sessions.get(id)
  }

  /** For its only writer. */
  take(id: string): Session | undefined {
    const session = this.#sessions.get(id)
    this.#sessions.delete(id)
    return session
  }

  /** Its files are gone, or another process goes on with them. */
  forget(session: Session): void {
    this.#sessions.delete(session.id)
    session.close()
  }

  /** Forgets those whose files are not found any more. */
  async prune(isThere: (id: string) => Promise<boolean>): Promise<void> {
    for (const session of this.#sessions.values()) if (!(await isThere(session.id))) this.forget(session)
  }

  close(): void {
    for (const session of this.#sessions.values()) session.close()
  }
}
