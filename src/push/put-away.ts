/** What a stop leaves to the next owner of local names: several sessions at once, the shortest first, and not for ever. */
import { once } from 'node:events'
import type { Logger } from '../observe/log.ts'
import type { Store } from '../store/store.ts'
import type { StoredUpload } from '../store/upload.ts'

const atOnce = 4

export interface PuttingAway {
  /** Resolves with whether it is where the next owner finds it. */
  readonly put: (session: StoredUpload) => Promise<boolean>
  readonly log: Logger
  /** The time is up. */
  readonly signal: AbortSignal
}

/** On the disk, and left by an earlier owner. */
export async function* storedUploads({
  uploads,
  uploadsAway,
}: Pick<Store, 'uploads' | 'uploadsAway'>): AsyncIterable<StoredUpload> {
  yield* uploads.list()
  if (uploadsAway) yield* uploadsAway.list()
}

/** The same, which are in the list when they have been gone through. */
export async function* collected(
  sessions: AsyncIterable<StoredUpload>,
  list: StoredUpload[],
): AsyncIterable<StoredUpload> {
  for await (const session of sessions) {
    list.push(session)
    yield session
  }
}

/** Ends at the first failure, or at the signal: what is left then stays where it is. Never rejects. */
export async function putAllAway(
  sessions: AsyncIterable<StoredUpload>,
  { put, log, signal }: PuttingAway,
): Promise<void> {
  let moved = 0
  const failed = new AbortController()
  const isOver = AbortSignal.any([signal, failed.signal])
  const work = async (next: Iterable<StoredUpload>) => {
    for (const session of next) {
      if (isOver.aborted) return
      if (await put(session)) moved += 1
    }
  }
  const workAll = async () => {
    const open: StoredUpload[] = []
    for await (const session of sessions) open.push(session)
    const next = open.toSorted((one, other) => one.size - other.size).values()
    await Promise.all(Array.from({ length: atOnce }, () => work(next)))
  }
  try {
    await Promise.race([workAll(), timeIsUp(signal)])
  } catch (error) {
    log.warn({ err: error }, 'not all open uploads could be left to the next owner of local names')
  } finally {
    failed.abort()
  }
  if (moved > 0) log.info({ uploads: moved }, 'open uploads are left to the next owner of local names')
}

async function timeIsUp(signal: AbortSignal): Promise<never> {
  if (!signal.aborted) await once(signal, 'abort')
  throw signal.reason
}
