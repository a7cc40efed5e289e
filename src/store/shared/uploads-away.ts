/**
 * Upload sessions in the object store, between an owner of local names that stopped and the one that goes on with them.
 * Each is on one disk or here, never on both: a copy that stayed behind would be taken for the session later, with
 * fewer bytes than were acknowledged. Where it cannot be told whether a move came to be, the session is lost.
 */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import type { Layout } from '../layout.ts'
import type { ObjectPage, Objects } from '../objects.ts'
import {
  isUploadId,
  parseNote,
  type StoredUpload,
  type UploadFile,
  type UploadFiles,
  type UploadNote,
} from '../upload.ts'
import { keyOf } from './keys.ts'
import type { Tier } from './tier.ts'

/** Written once all bytes are there: without it there is no session. */
const noteName = 'session.json'
const dataName = 'data'
const maxNoteBytes = 16 * 1024
/** Notes that a listing reads at once. */
const notesAtOnce = 8

export interface UploadsAwayDeps {
  readonly tier: Tier
  readonly layout: Layout
  /** On the disk. */
  readonly files: UploadFiles
  /** Throws when sessions are another process's to go on with. */
  readonly assertOwner: () => void
}

interface Note extends UploadNote {
  /** Bytes that were acknowledged. */
  readonly size: number
  readonly touchedAt: number
}

interface Put {
  readonly id: string
  readonly name: string
  readonly changedAt: number
}

export class UploadsAway {
  readonly #deps: UploadsAwayDeps
  readonly #taking = new Map<string, Promise<StoredUpload | undefined>>()

  constructor(deps: UploadsAwayDeps) {
    this.#deps = deps
  }

  /**
   * Moves a session that nobody writes to from the disk. False: not all of its bytes are in its file, and it stays.
   * Rejects with ObjectsFailure, or the signal's reason.
   */
  async put({ id, note, size, touchedAt }: StoredUpload, signal: AbortSignal): Promise<boolean> {
    const { tier, files, assertOwner } = this.#deps
    if (size > 0 && !(await this.#putData(id, size, signal))) return false
    signal.throwIfAborted()
    assertOwner()
    await files.remove(id)
    const content = Buffer.from(JSON.stringify({ ...note, size, touchedAt } satisfies Note))
    await tier.use(bucket => bucket.put(this.#key(id, noteName), content))
    return true
  }

  /**
   * Moves a session to the disk, which does not have it. Undefined: there is none. Rejects with ObjectsFailure, or the
   * system's error, and may be tried again.
   */
  take(id: string): Promise<StoredUpload | undefined> {
    if (!isUploadId(id)) return Promise.resolve(undefined)
    const taking = this.#taking.get(id) ?? this.#take(id).finally(() => void this.#taking.delete(id))
    this.#taking.set(id, taking)
    return taking
  }

  /** Nothing while the object store does not answer. */
  async *list(): AsyncIterable<StoredUpload> {
    const { tier } = this.#deps
    for await (const ids of this.#ids()) {
      const notes = await Promise.all(ids.map(id => tier.ifUp(bucket => this.#note(bucket, id))))
      for (const [at, id] of ids.entries()) {
        const found = notes[at]
        if (found) yield { id, note: found.note, size: found.note.size, touchedAt: found.note.touchedAt }
      }
    }
  }

  /** Removes what was put away too long ago. Resolves with how many there were. Rejects with ObjectsFailure. */
  async reap(isIdle: (touchedAt: number) => boolean): Promise<number> {
    const newest = new Map<string, number>()
    for await (const { id, changedAt } of this.#objects(ask => this.#deps.tier.use(ask)))
      newest.set(id, Math.max(changedAt, newest.get(id) ?? 0))
    const idle = [...newest].filter(([, changedAt]) => isIdle(changedAt))
    for (const [id] of idle) await this.#deps.tier.use(bucket => this.#remove(bucket, id))
    return idle.length
  }

  async #putData(id: string, size: number, signal: AbortSignal): Promise<boolean> {
    const { tier, files } = this.#deps
    const upload = await files.open(id)
    try {
      if (upload.written < size) return false // it has got its digest's name already
      const { file } = upload
      const put = (bucket: Objects) => bucket.putFile(this.#key(id, dataName), { file, size, signal })
      return (await tier.use(put)) !== false
    } finally {
      upload.close()
    }
  }

  async #take(id: string): Promise<StoredUpload | undefined> {
    const { tier, files } = this.#deps
    const found = await tier.use(bucket => this.#note(bucket, id))
    if (!found) return files.find(id) // who came before us may have brought it
    const { note, version } = found
    await files.remove(id) // what a process that was killed in the middle of this left
    const isOurs = await this.#bring(id, note, version)
    if (!isOurs) return undefined
    await tier.use(bucket => this.#remove(bucket, id)).catch(() => {}) // no session any more: reaped later
    return files.find(id)
  }

  /** False: another process took it, or its bytes are gone. */
  async #bring(id: string, note: Note, version: string): Promise<boolean> {
    const { v, registry, repository, startedAt, algorithm, size } = note
    const gone = new Error('the session is gone')
    try {
      await this.#deps.files.create(id, { v, registry, repository, startedAt, algorithm }, async file => {
        if (size > 0 && !(await this.#download(id, file, size))) throw gone
        if (!(await this.#claim(id, version))) throw gone
      })
      return true
    } catch (error) {
      if (error === gone) return false
      throw error
    }
  }

  async #download(id: string, file: UploadFile, size: number): Promise<boolean> {
    const opened = await this.#deps.tier.use(bucket => bucket.open(this.#key(id, dataName)))
    if (!opened) return false
    for await (const chunk of opened.body) await file.append([chunk as Buffer])
    return opened.total === size && file.written === size
  }

  /** Of several processes one succeeds: from then on there is no session here. */
  async #claim(id: string, version: string): Promise<boolean> {
    const { tier, assertOwner } = this.#deps
    assertOwner()
    const taken = Buffer.from(JSON.stringify({ taken: randomUUID() }))
    const put = (bucket: Objects) => bucket.put(this.#key(id, noteName), taken, { version })
    return (await tier.use(put)) !== false
  }

  async #remove(bucket: Objects, id: string): Promise<void> {
    await bucket.remove(this.#key(id, noteName))
    await bucket.remove(this.#key(id, dataName))
  }

  async #note(bucket: Objects, id: string): Promise<{ note: Note; version: string } | undefined> {
    const found = await bucket.read(this.#key(id, noteName), maxNoteBytes)
    const note = found && parseNote(found.content.toString())
    return isWhole(note) ? { note, version: found?.version ?? '' } : undefined
  }

  async *#ids(): AsyncGenerator<readonly string[]> {
    let ids: string[] = []
    for await (const { id, name } of this.#objects(ask => this.#deps.tier.ifUp(ask))) {
      if (name === noteName) ids.push(id)
      if (ids.length < notesAtOnce) continue
      yield ids
      ids = []
    }
    if (ids.length > 0) yield ids
  }

  /** @param ask resolves with undefined: it is left at what is known */
  async *#objects(
    ask: (list: (bucket: Objects) => Promise<ObjectPage>) => Promise<ObjectPage | undefined>,
  ): AsyncGenerator<Put> {
    const prefix = `${keyOf(this.#deps.layout, this.#deps.layout.uploads)}/`
    for (let after: string | undefined, isFirst = true; isFirst || after !== undefined; isFirst = false) {
      const page = await ask(bucket => bucket.list(prefix, { after }))
      for (const { key, changedAt } of page?.objects ?? []) {
        const [id = '', name = ''] = key.slice(prefix.length).split('/')
        if (isUploadId(id)) yield { id, name, changedAt }
      }
      after = page?.next
    }
  }

  #key(id: string, name: string): string {
    const { layout } = this.#deps
    return keyOf(layout, join(layout.upload(id), name))
  }
}

function isWhole(note: Partial<Note> | undefined): note is Note {
  return Number.isSafeInteger(note?.size) && Number.isFinite(note?.touchedAt)
}
