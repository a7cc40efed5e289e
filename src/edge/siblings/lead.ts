/** Answers for a sibling process: facts in the head, and instead of bytes that a file has, how far it may be read. */
import { systemClock } from '../../runtime/clock.ts'
import type { Bytes, SharedBytes } from '../../stream/bytes.ts'
import { reason } from '../access-log.ts'
import type { Answer, Content } from '../answer.ts'
import { type Exchange, isHead } from '../exchange.ts'
import { factsHeader, followHeader, type Marked, marksHeader, write, writeFacts } from './sibling.ts'

/** Bytes of one read of what is in no file. */
const readBytes = 64 * 1024
/** A fast flight would have something new to tell to each of its followers ten thousand times a second. */
const gapMs = 2

export function forSibling(exchange: Exchange, { status, headers, content }: Answer): Answer {
  const told = { ...headers, [factsHeader]: writeFacts(exchange.facts) }
  const { shared } = content.kind === 'bytes' ? content.bytes : {}
  const follows = exchange.request.headers[followHeader] !== undefined && !isHead(exchange)
  if (content.kind !== 'bytes' || !shared || !follows) return { status, headers: told, content }
  const { bytes, range } = content
  const marked: Marked = { path: shared.path, first: 0, ...range }
  return {
    status,
    headers: { ...told, [marksHeader]: write(marked) },
    content: {
      kind: 'relay',
      relay: { body: marks({ bytes, range }, shared), close: () => bytes.close() },
      length: undefined,
    },
  }
}

/**
 * `<position>` and a line feed: the file may be read up to there. `+<length>`, a line feed and so many bytes: what the
 * file does not have, from the position reached so far. `!<text>`: why there is no more, in front of a connection that is
 * cut. The next mark is made when the socket has taken the last: who is slow hears of fewer.
 */
async function* marks({ bytes, range }: Wanted, shared: SharedBytes): AsyncGenerator<Buffer> {
  const end = range === undefined ? Number.POSITIVE_INFINITY : range.last + 1
  const first = range?.first ?? 0
  let position = first
  try {
    while (position < end) {
      const until = await shared.until(position)
      if (until === undefined) return yield* frames(bytes, position, end)
      if (until <= position) break
      position = Math.min(until, end)
      yield Buffer.from(`${position}\n`)
      if (position < end) await systemClock.sleep(gapMs)
    }
    if (range && position < end) throw new Error(`the bytes ended at ${position} of ${end}`)
  } catch (error) {
    if (position > first) yield Buffer.from(`!${reason(error).replaceAll('\n', ' ')}\n`)
    throw error // in front of the first mark it can still become an honest answer
  }
}

type Wanted = Pick<Content & { kind: 'bytes' }, 'bytes' | 'range'>

async function* frames(bytes: Bytes, position: number, end: number): AsyncGenerator<Buffer> {
  const target = Buffer.allocUnsafeSlow(readBytes)
  while (position < end) {
    const chunks = await bytes.read(target.subarray(0, end - position), position)
    if (chunks.length === 0) break
    for (const chunk of chunks) {
      yield Buffer.from(`+${chunk.length}\n`)
      yield chunk
      position += chunk.length
    }
  }
  if (position < end && end < Number.POSITIVE_INFINITY)
    throw new Error(`the bytes ended at ${position} of ${end}`)
}
