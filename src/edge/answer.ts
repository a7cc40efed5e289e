/** What a handler answers: a value, so that one place turns it into bytes on the wire. */
import type { ByteRange } from '../oci/range.ts'
import type { Bytes } from '../stream/bytes.ts'

export type Headers = Record<string, string>

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly content: Content
}

export type Content =
  | { readonly kind: 'none' }
  | { readonly kind: 'buffer'; readonly buffer: Buffer }
  /** Positions of `bytes`; `range` undefined: all of them, however many there are. */
  | { readonly kind: 'bytes'; readonly bytes: Bytes; readonly range: ByteRange | undefined }
  | {
      readonly kind: 'parts'
      readonly bytes: Bytes
      readonly parts: readonly Part[]
      readonly closing: Buffer
    }
  /** Bytes as they come; `length` undefined: however many there are. */
  | { readonly kind: 'relay'; readonly relay: Relay; readonly length: number | undefined }

export interface Relay {
  /** Rejects when it breaks off. */
  readonly body: AsyncIterable<Buffer>
  /** To be called when the answer has ended. */
  close(): void
}

/** One part of a multipart answer, with the lines that go in front of it. */
export interface Part {
  readonly heading: Buffer
  readonly range: ByteRange
}

export const noContent: Content = { kind: 'none' }

export function json(value: unknown, { status = 200, type = 'application/json' } = {}): Answer {
  return {
    status,
    headers: { 'content-type': type },
    content: { kind: 'buffer', buffer: Buffer.from(JSON.stringify(value)) },
  }
}

/** Bytes that the body will have; undefined when that is known only at its end. */
export function contentLength(content: Content): number | undefined {
  switch (content.kind) {
    case 'none':
      return 0
    case 'buffer':
      return content.buffer.length
    case 'bytes':
      return content.range && lengthOf(content.range)
    case 'parts':
      return content.parts.reduce(
        (sum, { heading, range }) => sum + heading.length + lengthOf(range),
        content.closing.length,
      )
    case 'relay':
      return content.length
  }
}

/** Lets go of what the content holds, when it is not sent after all. */
export function discard(content: Content): void {
  if (content.kind === 'bytes' || content.kind === 'parts') content.bytes.close()
  if (content.kind === 'relay') content.relay.close()
}

function lengthOf({ first, last }: ByteRange): number {
  return last - first + 1
}
