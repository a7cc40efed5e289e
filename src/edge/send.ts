/** Bodies onto the wire, no faster than the client takes them. */
import { pipeline } from 'node:stream/promises'
import type { ByteRange } from '../oci/range.ts'
import type { BufferPool } from '../stream/buffer-pool.ts'
import type { Bytes } from '../stream/bytes.ts'
import type { Content } from './answer.ts'
import type { Exchange } from './exchange.ts'

/** Rejects when the bytes do not come or the client leaves; the response is then to be cut. */
export async function sendContent(exchange: Exchange, content: Content, pool: BufferPool): Promise<void> {
  switch (content.kind) {
    case 'none':
      return
    case 'buffer':
      return write(exchange, content.buffer)
    case 'bytes':
      return whileConnected(exchange, content.bytes, () => sendBytes(exchange, content, pool))
    case 'parts':
      return whileConnected(exchange, content.bytes, () => sendParts(exchange, content, pool))
    case 'relay':
      return sendRelay(exchange, content)
  }
}

async function sendParts(
  exchange: Exchange,
  content: Content & { kind: 'parts' },
  pool: BufferPool,
): Promise<void> {
  const { bytes, parts, closing } = content
  for (const { heading, range } of parts) {
    await write(exchange, heading)
    await sendBytes(exchange, { bytes, range }, pool)
  }
  await write(exchange, closing)
}

/** Reads into one buffer while the other is being written. */
async function sendBytes(exchange: Exchange, { bytes, range }: Wanted, pool: BufferPool): Promise<void> {
  const end = range === undefined ? Number.POSITIVE_INFINITY : range.last + 1
  let position = range?.first ?? 0
  let [front, back] = [pool.lend(), pool.lend()]
  let reading = read(bytes, front, { position, end })
  try {
    for (let chunk = await reading; chunk.length > 0; chunk = await reading) {
      position += chunk.length
      reading = read(bytes, back, { position, end })
      await write(exchange, chunk)
      ;[front, back] = [back, front]
    }
    if (range && position < end) throw new Error(`the bytes ended at ${position} of ${end}`)
  } finally {
    await reading.catch(() => {}) // until then it writes into a buffer of the pool
    pool.giveBack(front)
    pool.giveBack(back)
  }
}

interface Wanted {
  bytes: Bytes
  range: ByteRange | undefined
}

function read(
  bytes: Bytes,
  target: Buffer,
  { position, end }: { position: number; end: number },
): Promise<Buffer> {
  const room = target.subarray(0, Math.max(0, end - position))
  if (room.length === 0) return Promise.resolve(room)
  const reading = bytes.read(room, position)
  reading.catch(() => {}) // looked at once the write before it is done
  return reading
}

async function sendRelay(
  { response, facts }: Exchange,
  { relay, length }: Content & { kind: 'relay' },
): Promise<void> {
  relay.body.on('data', (chunk: Buffer) => {
    facts.sentBytes += chunk.length
  })
  try {
    await pipeline(relay.body, response, { end: false })
    if (facts.sentBytes !== length)
      throw new Error(`upstream sent ${facts.sentBytes} of ${length} bytes of a range`)
  } finally {
    relay.close()
  }
}

/** Gives up the bytes at the end, and as soon as the client leaves, so that nobody waits for a reader who is gone. */
async function whileConnected(
  { response }: Exchange,
  bytes: Bytes,
  task: () => Promise<void>,
): Promise<void> {
  const close = () => bytes.close()
  response.once('close', close)
  try {
    if (response.destroyed) throw new Error('the client has left')
    await task()
  } finally {
    response.off('close', close)
    bytes.close()
  }
}

/** Resolves when the socket has taken the chunk, so that its buffer may be used again. */
function write({ response, facts }: Exchange, chunk: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    response.write(chunk, error => {
      if (error) return reject(error)
      facts.sentBytes += chunk.length
      resolve()
    })
  })
}
