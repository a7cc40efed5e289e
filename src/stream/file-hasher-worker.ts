/** The thread behind FileHasher: reads what was announced and hashes it. */
import { createHash } from 'node:crypto'
import { readSync } from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import type { FileHasherMessage } from './file-hasher.ts'

const { algorithm, fd } = workerData as { algorithm: string; fd: number }
const hash = createHash(algorithm)
const buffer = Buffer.allocUnsafeSlow(1024 * 1024)
let position = 0

function follow(upTo: number): void {
  while (position < upTo) {
    const count = readSync(fd, buffer, 0, Math.min(buffer.length, upTo - position), position)
    if (count === 0) throw new Error(`the file ended at ${position} of ${upTo} bytes`)
    hash.update(buffer.subarray(0, count))
    position += count
  }
}

parentPort?.on('message', (message: FileHasherMessage) => {
  if (message === 'digest') parentPort?.postMessage(hash.digest('hex'))
  else follow(message.upTo)
})
