/** A blob that two processes make alike: blocks of one MiB, each of its own. */
import { createHash } from 'node:crypto'
import { type Digest, digestFrom } from '../../../src/oci/digest.ts'

const blockBytes = 1024 * 1024
const totalBlocks = 70
export const blobSize = totalBlocks * blockBytes

export function patternBlock(at: number): Buffer {
  return Buffer.alloc(blockBytes, `block ${at};`)
}

export function blob(): Buffer {
  return Buffer.concat(Array.from({ length: totalBlocks }, (_, at) => patternBlock(at)))
}

export function blobDigest(): Digest {
  return digestFrom('sha256', createHash('sha256').update(blob()))
}
