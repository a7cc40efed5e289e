/** The thread behind HashThread: reads growing files in turns, and hashes what it reads. */
import { createHash, type Hash } from 'node:crypto'
import { readSync } from 'node:fs'
import { parentPort } from 'node:worker_threads'
import type { HashAnswer, HashOrder } from './hash-thread.ts'

interface Followed {
  readonly fd: number
  readonly hash: Hash
  position: number
  upTo: number
  /** No more bytes will be announced. */
  ended: boolean
}

const files = new Map<number, Followed>()
const buffer = Buffer.allocUnsafeSlow(1024 * 1024)
let running = false

parentPort?.on('message', (order: HashOrder) => {
  obey(order)
  if (running) return
  running = true
  setImmediate(round)
})

function obey({ id, ...order }: HashOrder): void {
  if (order.kind === 'follow') {
    const { fd, algorithm } = order
    files.set(id, { fd, hash: createHash(algorithm), position: 0, upTo: 0, ended: false })
    return
  }
  const file = files.get(id)
  if (!file) return // its answer is on the way
  if (order.kind === 'drop') {
    finish({ id, dropped: true })
    return
  }
  file.upTo = order.upTo
  file.ended = order.kind === 'digest'
}

/** One read of each file; then new orders are heard. */
function round(): void {
  for (const [id, file] of files) {
    if (file.position < file.upTo) readSome(id, file)
    else if (file.ended) finish({ id, hex: file.hash.digest('hex') })
  }
  running = [...files.values()].some(({ position, upTo, ended }) => ended || position < upTo)
  if (running) setImmediate(round)
}

function readSome(id: number, file: Followed): void {
  try {
    const { fd, position, upTo } = file
    const count = readSync(fd, buffer, 0, Math.min(buffer.length, upTo - position), position)
    if (count === 0) throw new Error(`the file ended at ${position} of ${upTo} bytes`)
    file.hash.update(buffer.subarray(0, count))
    file.position += count
  } catch (error) {
    finish({ id, error: error instanceof Error ? error : new Error(String(error)) })
  }
}

function finish(answer: HashAnswer): void {
  files.delete(answer.id)
  parentPort?.postMessage(answer)
}
