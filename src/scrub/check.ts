/** Whether a file is what its name says. */
import { stat } from 'node:fs/promises'
import { algorithmOf, type Digest } from '../oci/digest.ts'
import { SharedFile } from '../store/files/file.ts'
import { isCode } from '../store/files/system-error.ts'
import { HashThread, HashThreadEnded } from '../stream/hash-thread.ts'
import type { Run } from './run.ts'

export interface Checked {
  readonly area: 'cached' | 'pushed'
  readonly digest: Digest
  readonly path: string
  /** The file is damaged. No other file can have its inode until this resolves. */
  readonly condemn: (inode: number) => Promise<void>
}

/** Not that of the blobs on their way, which somebody waits for. */
const thread = new HashThread()
/** What opening a file takes besides its bytes: of a disk that has to seek. */
const fileCostBytes = 64 * 1024
const stepBytes = 1024 * 1024
/** What is no word about the file itself. */
const aboutUs = ['EACCES', 'EPERM', 'EMFILE', 'ENFILE', 'ENOMEM', 'EINTR']

/** Resolves with whether it may be what its name says: true also where that could not be told, which the log has. */
export async function isFineOrUnknown(run: Run, checked: Checked): Promise<boolean> {
  const { area, digest, path, condemn } = checked
  const { signal, log, report, metrics, dryRun } = run
  await run.pace.take(fileCostBytes, signal)
  try {
    const found = await stat(path)
    if (!found.isFile()) return true // nobody here put it there
    const { ino, size } = found
    const file = await openReadable(path)
    try {
      if (file && (await isRight(run, digest, { file, size }))) return true
      // Once more, since a person's work may depend on it: memory and cables flip bits too.
      if (file && area === 'pushed' && (await isRight(run, digest, { file, size }))) return true
      if (!dryRun) metrics.damaged.inc({ area })
      await condemn(ino)
      return false
    } finally {
      file?.release()
      report.files += 1
      report.bytes += size
      if (!dryRun) metrics.scrubbedBytes.inc({ area }, size)
    }
  } catch (error) {
    if (isCode(error, 'ENOENT')) return true // evicted or collected meanwhile
    signal.throwIfAborted()
    if (error instanceof HashThreadEnded) throw error
    report.unchecked += 1
    log.error({ path, err: error }, 'a file of the store could not be checked, or not be put away')
    return true
  }
}

/** Undefined for one that cannot be opened because it, or its place on the disk, is damaged. */
async function openReadable(path: string): Promise<SharedFile | undefined> {
  try {
    return await SharedFile.open(path, 'r')
  } catch (error) {
    if (isCode(error, 'ENOENT', ...aboutUs)) throw error
    return undefined
  }
}

/** A file that ends early, or cannot be read, is damaged. */
async function isRight(
  { pace, signal }: Run,
  digest: Digest,
  { file, size }: { file: SharedFile; size: number },
): Promise<boolean> {
  const hash = thread.follow(algorithmOf(digest), file)
  const giveUp = () => hash.close()
  signal.addEventListener('abort', giveUp)
  try {
    for (let at = 0; at < size; at += stepBytes) {
      const step = Math.min(stepBytes, size - at)
      await pace.take(step, signal)
      hash.written(at + step)
    }
    return `${algorithmOf(digest)}:${await hash.digest()}` === digest
  } catch (error) {
    if (signal.aborted) throw signal.reason
    if (error instanceof HashThreadEnded) throw error
    return false
  } finally {
    signal.removeEventListener('abort', giveUp)
    giveUp()
  }
}
