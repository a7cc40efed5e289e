/** Bytes by digest in the object store: `cached/`, which may lose them, and `pushed/`, which may not. */
import type { Hash } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import type { Logger } from '../../observe/log.ts'
import { algorithmOf, type Digest, digestFrom, digestOf, hashFor } from '../../oci/digest.ts'
import { latest } from '../../runtime/latest.ts'
import type { StoredBlob } from '../contents.ts'
import type { ObjectBody, Objects } from '../objects.ts'
import type { Behind } from './behind.ts'
import { type Area, bytesKey } from './keys.ts'
import type { Tier } from './tier.ts'

/** Each is taken away, or replaced, within moments. */
const maxDamaged = 1000
/** Another replica has put into the object store by then what it fetched. */
const lookAgainMs = 60_000
/** Bytes: hashed in a fraction of a millisecond. */
const hashedAtOnce = 256 * 1024
/** What is read whole is a manifest. */
const maxWholeBytes = 2 ** 30

export interface SharedBytesDeps {
  readonly tier: Tier
  readonly behind: Behind
  readonly log: Logger
  readonly keepsCached: boolean
  /** Rejects when the store is closed. */
  readonly later: (ms: number) => Promise<void>
  /** Bytes; undefined: nothing is read from there by clients themselves. */
  readonly linkedFrom: number | undefined
  /** A file of the cache on the disk. */
  readonly open: (digest: Digest) => Promise<StoredBlob | undefined>
}

/** An object for clients to read by themselves. */
export interface Linked {
  readonly url: string
  readonly size: number
}

interface Opening {
  readonly first: number
  readonly signal: AbortSignal
}

interface PushedOpening extends Opening {
  readonly isHurried: boolean
}

export class SharedBytes {
  readonly #deps: SharedBytesDeps
  /** Objects below `cached/` that are to be replaced. */
  readonly #damaged = latest<Digest, true>(maxDamaged)

  constructor(deps: SharedBytesDeps) {
    this.#deps = deps
  }

  /** It is worth asking: the object store has not just failed. */
  get isUp(): boolean {
    return this.#deps.tier.isUp
  }

  /** What was fetched goes there. */
  get keepsCached(): boolean {
    return this.#deps.keepsCached
  }

  /** The bytes as they are there, unchecked; undefined also when the object store does not begin to give them soon. */
  async openCached(digest: Digest, { first, signal }: Opening): Promise<ObjectBody | undefined> {
    if (this.#damaged.has(digest)) return undefined
    return this.#openSoon(bytesKey('cached', digest), { first, signal })
  }

  /**
   * The bytes as they are there, unchecked. Undefined: there are none, or an object store that nobody has to wait for
   * does not begin to give them soon. Rejects with ObjectsFailure.
   */
  openPushed(digest: Digest, { isHurried, ...ask }: PushedOpening): Promise<ObjectBody | undefined> {
    const key = bytesKey('pushed', digest)
    return isHurried ? this.#openSoon(key, ask) : this.#deps.tier.use(bucket => bucket.open(key, ask))
  }

  /** Bytes of what was fetched before; undefined also when the object store does not say so soon. */
  async cachedSize(digest: Digest): Promise<number | undefined> {
    if (this.#damaged.has(digest)) return undefined
    return this.#deps.tier.ifUp(
      async (bucket, signal) => (await bucket.head(bytesKey('cached', digest), signal))?.size,
    )
  }

  /**
   * Undefined: it is to be given from here, since it is small, not there, known to be wrong, or since the object store
   * does not say so soon.
   *
   * @param size undefined: any will do
   */
  async link(area: Area, digest: Digest, size: number | undefined): Promise<Linked | undefined> {
    const { linkedFrom, tier } = this.#deps
    if (linkedFrom === undefined || (size !== undefined && size < linkedFrom)) return undefined
    if (area === 'cached' && (!this.keepsCached || this.#damaged.has(digest))) return undefined
    const key = bytesKey(area, digest)
    return tier.ifUp(async (bucket, signal) => {
      const found = await bucket.head(key, signal)
      if (!found || found.size < linkedFrom || (size ?? found.size) !== found.size) return undefined
      const url = await bucket.link(key)
      return url === undefined ? undefined : { url, size: found.size }
    })
  }

  /** The whole of a cached manifest, if it is right; undefined also when the object store does not give it soon. */
  async readCached(digest: Digest): Promise<Buffer | undefined> {
    const found = await this.#deps.tier.ifUp((bucket, signal) =>
      bucket.read(bytesKey('cached', digest), maxWholeBytes, signal),
    )
    return this.#ifRight('cached', digest, found?.content)
  }

  /** The whole of a pushed manifest. Rejects with ObjectsFailure. */
  async readPushed(digest: Digest): Promise<Buffer | undefined> {
    const found = await this.#deps.tier.use(bucket => bucket.read(bytesKey('pushed', digest), maxWholeBytes))
    return this.#ifRight('pushed', digest, found?.content)
  }

  /**
   * What was fetched is on the disk: it goes to the object store behind the answer.
   *
   * @param isBorrowed from another replica, which puts it there: it is looked later whether it did
   */
  offer(digest: Digest, { isBorrowed = false } = {}): void {
    if (!this.keepsCached) return
    const add = () => this.#deps.behind.add(bytesKey('cached', digest), () => this.#upload(digest))
    // Not all who followed at once: the first of them may put it there.
    const laterMs = lookAgainMs * (1 + Math.random())
    if (isBorrowed)
      this.#deps.later(laterMs).then(add, () => {}) // closed: the other one has done it, or will
    else add()
  }

  /** Puts a file of the disk there, if its bytes are right. False when they are not, or it is gone. */
  putFile(area: Area, digest: Digest, stored: StoredBlob): Promise<boolean> {
    const hash = hashFor(digest)
    const file = {
      ...stored,
      sent: (bytes: Buffer) => hashInTurns(hash, bytes),
      isRight: () => digestFrom(algorithmOf(digest), hash) === digest,
    }
    return this.#deps.tier.use(async bucket => (await bucket.putFile(bytesKey(area, digest), file)) !== false)
  }

  /** What was cached there is what was pushed, too. False when it is not there, or known to be wrong. */
  async pinCached(digest: Digest): Promise<boolean> {
    if (this.#damaged.has(digest)) return false
    return this.#deps.tier.use(bucket => bucket.copy(bytesKey('cached', digest), bytesKey('pushed', digest)))
  }

  use<T>(task: (objects: Objects) => Promise<T>): Promise<T> {
    return this.#deps.tier.use(task)
  }

  /** What the object store has under the digest is something else. What was cached goes: it is fetched again. */
  damaged(area: Area, digest: Digest): void {
    const key = bytesKey(area, digest)
    const advice = area === 'cached' ? 'fetched again' : 'push it again'
    this.#deps.log.error({ key, digest }, `an object is damaged: ${advice}`)
    if (area === 'pushed') return
    this.#damaged.set(digest, true)
    this.#deps.behind.add(`remove ${key}`, async () => {
      if (this.#damaged.has(digest)) await this.#deps.tier.use(bucket => bucket.remove(key))
    })
  }

  #openSoon(key: string, { first, signal }: Opening): Promise<ObjectBody | undefined> {
    return this.#deps.tier.ifUp((bucket, late) =>
      bucket.open(key, { first, signal: AbortSignal.any([signal, late]) }),
    )
  }

  async #upload(digest: Digest): Promise<void> {
    const stored = await this.#deps.open(digest)
    if (!stored) return // evicted meanwhile
    try {
      const key = bytesKey('cached', digest)
      const isReplaced = this.#damaged.has(digest)
      const there = isReplaced ? undefined : await this.#deps.tier.use(bucket => bucket.head(key))
      if (there?.size === stored.size) return
      await this.putFile('cached', digest, stored)
      this.#damaged.delete(digest)
    } finally {
      stored.file.release()
    }
  }

  #ifRight(area: Area, digest: Digest, content: Buffer | undefined): Buffer | undefined {
    if (content === undefined || digestOf(content, algorithmOf(digest)) === digest) return content
    this.damaged(area, digest)
    return undefined
  }
}

/** Others have their turn in between. */
async function hashInTurns(hash: Hash, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length; at += hashedAtOnce) {
    hash.update(bytes.subarray(at, at + hashedAtOnce))
    await setImmediate()
  }
}
