/**
 * An object store beneath the store on disk: whole objects by key, written whole. Keys are the paths of the store
 * (`pushed/sha256/ab/…`, `names/…`), relative to what the object store was opened with.
 */
import type { Readable } from 'node:stream'
import { RegistryError } from '../oci/errors.ts'
import type { SharedFile } from './files/file.ts'

/**
 * - `unreachable`: nobody answers, or the answer broke off; it may have been carried out all the same
 * - `timeout`: as `unreachable`, after a wait
 * - `throttled`: it asks for patience, also after several tries
 * - `denied`: the credentials are missing, wrong or not enough
 * - `missing`: there is no such bucket
 * - `foreign`: it is another store's, or of a format that this program does not know
 * - `broken`: it answers with what makes no sense, or with an error of its own
 */
export type ObjectsTrouble =
  | 'unreachable'
  | 'timeout'
  | 'throttled'
  | 'denied'
  | 'missing'
  | 'foreign'
  | 'broken'

/** Nobody is to wait long, and everybody who retries gets through when it is back. */
const retryAfterMs = 5_000

const toClients: Record<ObjectsTrouble, string> = {
  unreachable: 'cannot be reached',
  timeout: 'does not answer',
  throttled: 'asks for patience',
  denied: 'refuses the credentials of the registry',
  missing: 'has no such bucket',
  foreign: "is another registry's",
  broken: 'does not work',
}

/**
 * The object store did not do what it was asked to. What is not there is no failure. Clients hear of the trouble, and
 * not of addresses: what was asked and answered is in `said`.
 */
export class ObjectsFailure extends RegistryError {
  override readonly name = 'ObjectsFailure'
  readonly trouble: ObjectsTrouble
  readonly said: string

  constructor(trouble: ObjectsTrouble, said: string, options?: ErrorOptions) {
    super('UNAVAILABLE', `the object store beneath this registry ${toClients[trouble]}: try again`, {
      retryAfterMs,
      cause: new Error(said, options),
    })
    this.trouble = trouble
    this.said = said
  }
}

/** What tells one content of a key from the next (the ETag, as the store writes it). */
export type ObjectVersion = string

export interface ObjectHead {
  /** Bytes. */
  readonly size: number
  readonly version: ObjectVersion
  /** Milliseconds since the epoch, by the clock of the object store. */
  readonly changedAt: number
}

export interface ObjectContent {
  readonly content: Buffer
  readonly version: ObjectVersion
}

/** An object's bytes as they come. The reader has to read the body to its end or to destroy it; it errors with ObjectsFailure. */
export interface ObjectBody {
  readonly body: Readable
  /** Of the whole object. */
  readonly total: number
  /** Position of the body's first byte. */
  readonly first: number
  readonly version: ObjectVersion
}

/** What must be so at the moment of writing: nothing stands there, or exactly this version does. */
export type Condition = 'absent' | { readonly version: ObjectVersion }

/** A file to be put. */
export interface ObjectFile {
  readonly file: SharedFile
  /** Bytes of the file that are the object. */
  readonly size: number
  /** Told of all bytes, in order, before they are sent; waited for. */
  readonly sent?: (bytes: Buffer) => void | Promise<void>
  /** Asked when all bytes are there, before the object is visible under its key: with false it never is. */
  readonly isRight?: () => boolean | Promise<boolean>
  readonly signal?: AbortSignal
}

/** One page of keys, in byte order. */
export interface ObjectPage {
  readonly objects: readonly ListedObject[]
  /** What stands between the prefix and the next delimiter, as whole prefixes with the delimiter at the end. */
  readonly prefixes: readonly string[]
  /** Given as `after`, it begins the next page; undefined: this was the last one. */
  readonly next: string | undefined
}

export interface ListedObject extends ObjectHead {
  readonly key: string
}

export interface ListAsk {
  readonly delimiter?: '/'
  /** From `next` of the page before. */
  readonly after?: string | undefined
  /** Objects and prefixes of a page, at most 1000. */
  readonly limit?: number
  readonly signal?: AbortSignal
}

/** Everything rejects with ObjectsFailure, or with the signal's reason. Each wait has an end. */
export interface Objects {
  /** For messages: `s3://bucket/prefix`. */
  readonly name: string
  /**
   * Whether conditions of `put` are kept to: found out at `probe`, false until then. Where they are not, a condition
   * is ignored.
   */
  readonly isConditional: boolean
  /** As `isConditional`, of the version of `remove`. */
  readonly removesConditionally: boolean

  /** Puts, reads, lists and deletes an object of its own. Resolves when all of that works. */
  probe(): Promise<void>

  /** Undefined: there is none. */
  head(key: string, signal?: AbortSignal): Promise<ObjectHead | undefined>

  /**
   * Resolves at the headers. Undefined: there is none.
   *
   * @param ask.first position of the first byte wanted; @param ask.last of the last one
   */
  open(
    key: string,
    ask?: { readonly first?: number; readonly last?: number; readonly signal?: AbortSignal },
  ): Promise<ObjectBody | undefined>

  /** The whole content of a small object. An object of more than `maxBytes` is `broken`. */
  read(key: string, maxBytes: number, signal?: AbortSignal): Promise<ObjectContent | undefined>

  /**
   * Durable, and what everybody reads, when it resolves with the new version; false when the condition did not hold, and
   * nothing happened. After a failure it may have been written or not.
   */
  put(key: string, content: Buffer, condition?: Condition): Promise<ObjectVersion | false>

  /** As `put`. Large ones go in parts. False when it was not right: then nothing of it stays. */
  putFile(key: string, file: ObjectFile): Promise<ObjectVersion | false>

  /** Within the object store, whatever the size. False when there is nothing at `from`. */
  copy(from: string, to: string): Promise<boolean>

  /**
   * Done when nothing is there any more, also when nothing was. Resolves with false when another version stands there,
   * and nothing happened.
   *
   * @param version undefined, or where the object store does not keep to it: whatever is there
   */
  remove(key: string, version?: ObjectVersion): Promise<boolean>

  list(prefix: string, ask?: ListAsk): Promise<ObjectPage>

  /**
   * Where a GET gives the object, if there is one, to whoever has the address: for a while, and without credentials.
   * Undefined: it would not last, or clients get none. Asks nobody but where credentials come from.
   */
  link(key: string): Promise<string | undefined>

  /** Aborts what an earlier process began to write in parts and never finished. Resolves with how many. */
  reap(olderThanMs: number, now: number): Promise<number>

  /** Ends what is under way. */
  close(): void
}
