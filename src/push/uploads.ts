/** Upload sessions: found by their id, written by one client at a time, finished into blobs. */
import { randomUUID } from 'node:crypto'
import { type Algorithm, algorithmOf, type Digest, digestOf } from '../oci/digest.ts'
import { type Local, localKey } from '../pull/target.ts'
import { Ages } from '../runtime/ages.ts'
import { isSameRepository, type RepositoryKey } from '../store/layout.ts'
import type { UploadsAway } from '../store/shared/uploads-away.ts'
import type { StoredUpload } from '../store/upload.ts'
import { type Body, type Chunk, readOut, takeWhole } from './body.ts'
import { storeClaimed } from './claimed.ts'
import type { PushParts } from './deps.ts'
import { OpenSessions } from './open-sessions.ts'
import { assertNext, type Progress, UploadConflict } from './progress.ts'
import { collected, putAllAway, storedUploads } from './put-away.ts'
import { Session } from './session.ts'
import { type Allow, SessionQuotas } from './session-quotas.ts'
import { leaving, mismatch, tooManyOpen, unknownUpload } from './upload-errors.ts'
import { WarmSessions } from './warm-sessions.ts'
import { storeWhole } from './whole-blob.ts'

/** A body up to this size is stored without a session of its own. */
const wholeBytes = 1024 * 1024

/** An open session as listings show it. */
export interface OpenUpload {
  readonly id: string
  readonly key: RepositoryKey
  /** Bytes received. */
  readonly size: number
  readonly startedAt: number
}

/** The one client that writes to a session now. */
interface Writer {
  session: Session | undefined
  readonly body: Body | undefined
  /** Resolves when it has let go. */
  readonly done: Promise<void>
}

/** Every method rejects with RegistryError BLOB_UPLOAD_UNKNOWN (404) for a session that this repository does not have. */
export class Uploads {
  readonly #deps: PushParts
  readonly #ages: Ages
  readonly #writers = new Map<string, Writer>()
  readonly #warm = new WarmSessions()
  readonly #open = new OpenSessions()
  readonly #quotas: SessionQuotas
  /** Over, with files that are still being removed. */
  readonly #ending = new Set<string>()
  /** Sessions go to another process: none is begun or gone on with here any more. */
  #isLeaving = false

  constructor(deps: PushParts) {
    this.#deps = deps
    this.#ages = new Ages(deps.clock)
    this.#quotas = new SessionQuotas(deps)
  }

  /** @throws RegistryError TOOMANYREQUESTS (429) */
  async start(local: Local, algorithm: Algorithm = 'sha256'): Promise<Progress> {
    const { store, limits, clock } = this.#deps
    if (this.#isLeaving) throw leaving()
    if (this.#open.count >= limits.uploads) throw tooManyOpen(limits.uploads)
    const id = randomUUID()
    const note = { v: 1, ...localKey(local), startedAt: clock.now(), algorithm } as const
    await this.#open.begin(id, () => store.uploads.create(id, note)).finally(() => this.#tellCount())
    this.#warm.put(new Session(store.uploads, { id, note, size: 0, touchedAt: note.startedAt }))
    return { id, offset: 0 }
  }

  async status(local: Local, id: string): Promise<Progress> {
    const session = this.#writers.get(id)?.session ?? this.#warm.get(id) ?? (await this.#load(id))
    assertOwned(session, local)
    return { id, offset: session.offset }
  }

  /** @throws UploadConflict, RegistryError SIZE_INVALID, BLOB_UPLOAD_INVALID (413), DENIED (403), STORAGE_FULL */
  async append(local: Local, id: string, chunk: Chunk): Promise<Progress> {
    await this.#deps.quotas.ready(local.namespace)
    return this.#hold(local, id, chunk, async session => {
      await this.#quotas.write(local, session, { chunk })
      return { id, offset: session.offset }
    })
  }

  /**
   * The bytes are a blob of the repository when it resolves, on disk and visible.
   *
   * @throws as `append`, and RegistryError DIGEST_INVALID (400) when they are not what the digest says: the session is over then
   */
  async complete(
    local: Local,
    id: string,
    { digest, chunk }: { digest: Digest; chunk: Chunk },
  ): Promise<void> {
    const { quotas, holdings } = this.#deps
    await quotas.ready(local.namespace)
    const held = local.namespace.quota && (await holdings.blob(localKey(local), digest))
    return this.#hold(local, id, chunk, async session => {
      session.expect(digest)
      await this.#quotas.write(local, session, { chunk, free: held?.size })
      await this.#quotas.finish(local, session, {
        digest,
        store: allow => this.#finish(session, digest, allow),
      })
    })
  }

  async cancel(local: Local, id: string): Promise<void> {
    await this.status(local, id)
    const writer = this.#writers.get(id)
    writer?.body?.abort(unknownUpload())
    await writer?.done
    await this.#hold(local, id, undefined, session => this.#end(session))
  }

  /**
   * A blob in one request. Resolves with a session to go on with when no bytes came, which some clients do to ask for one.
   *
   * @throws as `complete`
   */
  async push(local: Local, digest: Digest, body: Body): Promise<Progress | undefined> {
    const { holdings, limits, room, store, quotas } = this.#deps
    const key = localKey(local)
    const held = await holdings.blob(key, digest)
    if (held && (await holdings.renew(key, digest)) && (await store.pushed.size(digest)) === held.size)
      return readOut(body)
    await quotas.ready(local.namespace)
    if (!held) quotas.assertRoom(local.namespace, body.length ?? 0)
    const taken = await takeWhole(body, Math.min(wholeBytes, limits.uploadBytes), room)
    try {
      const { content, rest } = taken
      if (content === undefined) return await this.#pushLong(local, digest, { ...body, chunks: rest })
      if (digestOf(content, algorithmOf(digest)) === digest)
        return await storeWhole(this.#deps, local, { digest, content, isHeld: held !== undefined })
      if (content.length === 0) return await this.start(local, algorithmOf(digest))
      throw mismatch(digest)
    } finally {
      taken.release()
    }
  }

  /** The sessions open, of one repository or of all. */
  async list(key?: RepositoryKey): Promise<OpenUpload[]> {
    const found: OpenUpload[] = []
    for await (const { id, note, size } of storedUploads(this.#deps.store)) {
      if (this.#ending.has(id)) continue
      if (key && !isSameRepository(key, note)) continue
      const { registry, repository, startedAt } = note
      const offset = this.#writers.get(id)?.session?.offset ?? size
      found.push({ id, key: { registry, repository }, size: offset, startedAt })
    }
    return found
  }

  /** Ends the sessions that nobody went on with, and counts those that are left. */
  async reap(): Promise<number> {
    const { store, limits, clock } = this.#deps
    const { uploads, uploadsAway } = store
    const isIdle = (touchedAt: number) => this.#ages.isPast(touchedAt, limits.uploadIdleMs)
    const reaped = await uploads.reap(clock.now(), { isIdle, inUse: id => this.#writers.has(id) })
    const reapedAway = (await uploadsAway?.reap(isIdle).catch(() => 0)) ?? 0 // a bucket that fails has been told of
    await this.#warm.prune(async id => (await uploads.find(id)) !== undefined)
    await this.recount()
    return reaped + reapedAway
  }

  /** Of sessions that another process left, too. */
  async recount(): Promise<void> {
    const found: StoredUpload[] = []
    await this.#open.recount(() => collected(storedUploads(this.#deps.store), found))
    this.#quotas.recounted(found, id => this.#open.has(id))
    this.#tellCount()
  }

  /**
   * Moves what is open to where the next owner of local names finds it, but for what somebody writes to and what is
   * left at the signal. Never rejects; from its call on nothing is begun or gone on with here.
   */
  async putAway(signal: AbortSignal): Promise<void> {
    const { uploads, uploadsAway } = this.#deps.store
    if (!uploadsAway) return
    this.#isLeaving = true
    const put = (stored: StoredUpload) => this.#putOneAway(uploadsAway, stored, signal)
    await putAllAway(uploads.list(), { put, log: this.#deps.log, signal })
  }

  /** Resolves when nobody writes any more: what is on its way to the disk cannot be called back. */
  async stop(): Promise<void> {
    while (this.#writers.size > 0) await Promise.all([...this.#writers.values()].map(({ done }) => done))
    this.#warm.close()
  }

  async #pushLong(local: Local, digest: Digest, body: Body): Promise<undefined> {
    const { id } = await this.start(local, algorithmOf(digest))
    try {
      await this.complete(local, id, { digest, chunk: { ...body, range: undefined } })
    } catch (error) {
      await this.cancel(local, id).catch(() => {}) // nobody knows of it to go on with; it may be over already
      throw error
    }
  }

  async #putOneAway(away: UploadsAway, stored: StoredUpload, signal: AbortSignal): Promise<boolean> {
    const { id } = stored
    if (this.#writers.has(id) || this.#ending.has(id)) return false
    const session = this.#warm.get(id)
    if (!(await away.put({ ...stored, size: session?.offset ?? stored.size }, signal))) return false
    if (session) this.#warm.forget(session)
    this.#open.end(id)
    this.#deps.quotas.endSession(id)
    return true
  }

  async #finish(session: Session, digest: Digest, allow: Allow): Promise<void> {
    if ((await session.digest(algorithmOf(digest))) !== digest) {
      await this.#end(session)
      throw mismatch(digest)
    }
    const { store, holdings } = this.#deps
    await storeClaimed(store, digest, {
      put: () => session.store(digest), // nobody else gets the session while its file is on the move
      name: stored => holdings.putBlob(session.key, digest, { size: session.offset, stored, allow }),
    })
    this.#endBehind(session)
  }

  /** The answer need not wait for what is left of the session: nobody finds it any more. */
  #endBehind(session: Session): void {
    this.#ending.add(session.id)
    this.#deps.background.run(async () => {
      await this.#end(session)
      this.#ending.delete(session.id)
    })
  }

  /** What was acknowledged stays so: files that cannot be removed are left to the reaper. */
  async #end(session: Session): Promise<void> {
    this.#open.end(session.id)
    this.#deps.quotas.endSession(session.id)
    this.#tellCount()
    try {
      await session.remove()
    } catch (error) {
      this.#deps.log.error({ upload: session.id, err: error }, 'a finished upload could not be removed')
    }
  }

  /** Runs a task as the session's only writer. Where the chunk does not belong, nothing is touched. */
  async #hold<T>(
    local: Local,
    id: string,
    chunk: Chunk | undefined,
    task: (session: Session) => Promise<T>,
  ): Promise<T> {
    if (this.#isLeaving) throw leaving()
    if (this.#writers.has(id)) throw await this.#busy(local, id, chunk)
    const { promise: done, resolve } = Promise.withResolvers<void>()
    const writer: Writer = { session: undefined, body: chunk, done }
    this.#writers.set(id, writer)
    try {
      const session = this.#warm.take(id) ?? (await this.#load(id))
      writer.session = session
      assertOwned(session, local)
      assertNext(session, chunk)
      return await task(session)
    } finally {
      this.#writers.delete(id)
      if (writer.session?.isOver === false) this.#warm.put(writer.session)
      resolve()
    }
  }

  async #busy(local: Local, id: string, chunk: Chunk | undefined): Promise<UploadConflict> {
    const progress = await this.status(local, id)
    const status = chunk?.range === undefined ? 409 : undefined
    return new UploadConflict('another request is writing to this upload', progress, status)
  }

  async #load(id: string): Promise<Session> {
    const { uploads, uploadsAway } = this.#deps.store
    if (this.#ending.has(id)) throw unknownUpload()
    const here = await uploads.find(id)
    if (!here && this.#isLeaving) throw leaving()
    const stored = here ?? (await uploadsAway?.take(id))
    if (!stored) throw unknownUpload()
    return new Session(uploads, stored)
  }

  #tellCount(): void {
    this.#deps.metrics.uploads.set(this.#open.count)
  }
}

/** Another repository's session is none of this one's. */
function assertOwned({ key }: Session, local: Local): void {
  if (!isSameRepository(key, localKey(local))) throw unknownUpload()
}
