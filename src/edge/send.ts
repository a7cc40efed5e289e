/** Bodies onto the wire, no faster than the client takes them. */
import type { ByteRange } from '../oci/range.ts'
import type { BufferPool } from '../stream/buffer-pool.ts'
import { type Bytes, lengthOf } from '../stream/bytes.ts'
import type { Content } from './answer.ts'
import type { Exchange } from './exchange.ts'
import { Wire, type WireOptions } from './wire.ts'

export interface SendOptions extends WireOptions {
  readonly pool: BufferPool
}

/** So much goes to the socket without watching whether the client takes it. */
const smallBytes = 64 * 1024
/** What a reader gets of its own when the pool has nothing left for it. */
const privateBytes = 64 * 1024

/** Rejects when the bytes do not come or the client leaves. What was begun is then to be cut. */
export async function sendContent(exchange: Exchange, content: Content, options: SendOptions): Promise<void> {
  if (content.kind === 'none') return options.begin()
  if (content.kind === 'buffer' && content.buffer.length <= smallBytes)
    return sendSmall(exchange, content, options)
  const wire = new Wire(exchange, options)
  if (content.kind === 'buffer') return wire.write(content.buffer)
  const close = () => (content.kind === 'relay' ? content.relay.close() : content.bytes.close())
  await whileConnected(exchange, close, () => sendStream(wire, content, options.pool))
}

type Streamed = Exclude<Content, { kind: 'none' | 'buffer' }>

function sendSmall(
  { response, facts }: Exchange,
  { buffer }: Content & { kind: 'buffer' },
  { begin }: SendOptions,
): void {
  begin()
  response.write(buffer)
  facts.sentBytes += buffer.length
}

async function sendStream(wire: Wire, content: Streamed, pool: BufferPool): Promise<void> {
  if (content.kind === 'bytes') return sendBytes(wire, content, pool)
  if (content.kind === 'relay') return sendRelay(wire, content)
  for (const { heading, range } of content.parts) {
    await wire.write(heading)
    await sendBytes(wire, { bytes: content.bytes, range }, pool)
  }
  await wire.write(content.closing)
}

/** Reads into one buffer while another is being written; from one private buffer to the wire when the pool is empty. */
async function sendBytes(wire: Wire, { bytes, range }: Wanted, pool: BufferPool): Promise<void> {
  const end = range === undefined ? Number.POSITIVE_INFINITY : range.last + 1
  let position = range?.first ?? 0
  const lent = lend(pool, end - position)
  let [front = Buffer.allocUnsafeSlow(privateBytes), back = front] = lent
  let reading = read(bytes, front, { position, end })
  try {
    for (let chunks = await reading; chunks.length > 0; chunks = await reading) {
      position += lengthOf(chunks)
      const writing = wire.write(...chunks)
      if (back === front) await writing
      reading = read(bytes, back, { position, end })
      await writing
      ;[front, back] = [back, front]
    }
    if (range && position < end) throw new Error(`the bytes ended at ${position} of ${end}`)
  } finally {
    await reading.catch(() => {}) // until then it writes into a buffer of the pool
    for (const buffer of lent) pool.giveBack(buffer)
  }
}

/** Two buffers, or one where it has room for everything. */
function lend(pool: BufferPool, bytes: number): Buffer[] {
  const front = pool.lend(bytes)
  const rest = bytes - (front?.length ?? 0)
  const back = front && rest > 0 ? pool.lend(rest) : undefined
  return [front, back].filter(buffer => buffer !== undefined)
}

interface Wanted {
  bytes: Bytes
  range: ByteRange | undefined
}

function read(bytes: Bytes, target: Buffer, { position, end }: Place): Promise<readonly Buffer[]> {
  const room = target.subarray(0, Math.max(0, end - position))
  if (room.length === 0) return Promise.resolve([])
  const reading = bytes.read(room, position)
  reading.catch(() => {}) // looked at once the write before it is done
  return reading
}

interface Place {
  position: number
  end: number
}

async function sendRelay(wire: Wire, { relay, length }: Content & { kind: 'relay' }): Promise<void> {
  let sent = 0
  for await (const chunk of relay.body) {
    sent += chunk.length
    if (length !== undefined && sent > length) break
    await wire.write(chunk)
  }
  if (length !== undefined && sent !== length)
    throw new Error(`${sent} of ${length} bytes came from who was asked for them`)
}

/** Lets go at the end, and as soon as the client leaves, so that nobody waits for a reader who is gone. */
async function whileConnected(
  { response }: Exchange,
  close: () => void,
  task: () => Promise<void>,
): Promise<void> {
  response.once('close', close)
  try {
    if (response.destroyed) throw new Error('the client has left')
    await task()
  } finally {
    response.off('close', close)
    close()
  }
}
