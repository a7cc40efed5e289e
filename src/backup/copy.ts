/** Copying bytes whose digest is known: what arrives is right, or nothing does. */
import { rm } from 'node:fs/promises'
import { algorithmOf, type Digest, digestFrom, hashFor } from '../oci/digest.ts'
import { SharedFile } from '../store/files/file.ts'
import { Damaged, readable } from './failure.ts'

const blockBytes = 1024 * 1024

/**
 * Copies and syncs; the name is the caller's to sync. Resolves with the size; with undefined when there is no such file.
 * Rejects with the system's error where it cannot be written.
 *
 * @throws Damaged when it cannot be read, or has another digest: then nothing is left of the copy
 */
export async function copySound(from: string, to: string, digest: Digest): Promise<number | undefined> {
  const source = await readable(SharedFile.open(from, 'r'))
  if (!source) return undefined
  try {
    const target = await SharedFile.open(to, 'wx+')
    try {
      const size = await hashed(source, digest, (block, at) => target.write([block], at))
      await target.sync()
      return size
    } finally {
      target.release()
    }
  } catch (error) {
    await rm(to, { force: true }).catch(() => {}) // what failed is told of
    throw error
  } finally {
    source.release()
  }
}

/** Whether the file is there and has the digest. */
export async function isSound(path: string, digest: Digest): Promise<boolean> {
  try {
    const file = await readable(SharedFile.open(path, 'r'))
    if (!file) return false
    try {
      await hashed(file, digest, async () => {})
      return true
    } finally {
      file.release()
    }
  } catch (error) {
    if (error instanceof Damaged) return false
    throw error
  }
}

/** Resolves with the size. */
async function hashed(
  source: SharedFile,
  digest: Digest,
  each: (block: Buffer, at: number) => Promise<void>,
): Promise<number> {
  const hash = hashFor(digest)
  const block = Buffer.allocUnsafeSlow(blockBytes)
  let size = 0
  for (;;) {
    const count = (await readable(source.read(block, size))) ?? 0
    if (count === 0) break
    const piece = block.subarray(0, count)
    hash.update(piece)
    await each(piece, size)
    size += count
  }
  if (digestFrom(algorithmOf(digest), hash) !== digest) throw new Damaged('its bytes have another digest')
  return size
}
