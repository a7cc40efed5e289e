/** The object store as a source of flights: what other replicas have put there need not come from upstream again. */
import { Readable } from 'node:stream'
import type { BlobEntry } from '../../index/index.ts'
import type { Digest } from '../../oci/digest.ts'
import { type ObjectBody, ObjectsFailure, type ObjectsTrouble } from '../../store/objects.ts'
import type { Shared } from '../../store/shared/shared.ts'
import type { Store } from '../../store/store.ts'
import type { BlobBody } from '../../upstream/upstream.ts'
import { UpstreamError, type UpstreamFailure } from '../../upstream/upstream-error.ts'
import type { Served, Source } from './source.ts'

/** Stands where an upstream's name would. */
const name = 'local'

type Ask = Parameters<Source['open']>[1]

const failures: Partial<Record<ObjectsTrouble, UpstreamFailure>> = {
  timeout: 'timeout',
  broken: 'server-error',
}

/**
 * Asks the object store first, and upstream for what it lacks or breaks off: for a repository that is known to hold the
 * blob. Without an object store the upstream's own.
 */
export function sharedFirst({ store, upstream }: { store: Store; upstream: Source }): Source {
  const { shared } = store
  return shared ? new SharedFirst(shared, upstream) : upstream
}

class SharedFirst implements Source {
  readonly #shared: Shared
  readonly #upstream: Source
  /** The object store has given nothing, or broke off. */
  #isSpent = false
  #gaveBytes = false
  #isFromUpstream = false

  constructor(shared: Shared, upstream: Source) {
    this.#shared = shared
    this.#upstream = upstream
  }

  get scope(): string {
    return this.#upstream.scope
  }

  get name(): string {
    return this.#upstream.name
  }

  get isShared(): boolean {
    return !this.#isSpent && this.#shared.bytes.keepsCached && this.#shared.bytes.isUp
  }

  async open(digest: Digest, ask: Ask): Promise<BlobBody> {
    const found = await this.#ifThere(digest, ask)
    if (found) {
      this.#gaveBytes = true
      return bodyOf(found, this.name)
    }
    this.#isFromUpstream = true
    return this.#upstream.open(digest, ask)
  }

  confirm(digest: Digest): Promise<BlobEntry> {
    return this.#upstream.confirm(digest)
  }

  /** The link is there already, unless upstream had to be asked. */
  async served(digest: Digest, served: Served): Promise<void> {
    if (this.#isFromUpstream) await this.#upstream.served(digest, served)
  }

  wrong(digest: Digest): void {
    if (this.#gaveBytes) this.#shared.bytes.damaged('cached', digest)
  }

  broke(failure: UpstreamFailure): void {
    if (this.#isFromUpstream) this.#upstream.broke?.(failure)
  }

  /** Asked once: who comes again has seen it break. */
  async #ifThere(digest: Digest, { first, signal }: Ask): Promise<ObjectBody | undefined> {
    if (this.#isSpent || !this.#shared.bytes.isUp) return undefined
    this.#isSpent = true
    return this.#shared.bytes.openCached(digest, { first, signal })
  }
}

/** What was pushed. @param isHurried somebody else has it too: an object store that does not answer soon is not waited for */
export function pushedSource(shared: Shared, repository: string, { isHurried = false } = {}): Source {
  return {
    scope: `${name}|${repository}`,
    name,
    get isShared() {
      return shared.bytes.isUp
    },
    async open(digest, { first, signal }) {
      const opened = shared.bytes.openPushed(digest, { first, signal, isHurried })
      const found = await opened.catch((error: unknown) => failed(error))
      if (found) return bodyOf(found, name)
      throw new UpstreamError(name, 'not-found', `the bytes of ${digest} are missing`, {
        what: 'BLOB_UNKNOWN',
      })
    },
    confirm: async () => ({ size: undefined, isPublic: false }), // who asks has the record
    served: async () => {},
    wrong: digest => shared.bytes.damaged('pushed', digest),
  }
}

function bodyOf({ body, first, total }: ObjectBody, from: string): BlobBody {
  const length = total - first
  return { body: translated(body, from), first, total, length, etag: undefined, anonymous: false }
}

function translated(body: Readable, from: string): Readable {
  const read = async function* () {
    try {
      yield* body as AsyncIterable<Buffer>
    } catch (error) {
      failed(error, from)
    }
  }
  const readable = Readable.from(read(), { objectMode: false, highWaterMark: 256 * 1024 })
  readable.once('close', () => body.destroy()) // also of one that nobody has begun to read
  return readable
}

/** As flights know it, so that they go on elsewhere or try again. */
function failed(error: unknown, from = name): never {
  if (!(error instanceof ObjectsFailure)) throw error
  throw new UpstreamError(from, failures[error.trouble] ?? 'unreachable', error.message, { cause: error })
}
