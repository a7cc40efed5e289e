/** Several ranges in one answer: multipart/byteranges (RFC 9110 §14.6), one part a range, in the order asked. */
import { randomBytes } from 'node:crypto'
import { type ByteRange, contentRange } from '../../oci/range.ts'
import type { Bytes } from '../../stream/bytes.ts'
import type { Answer, Headers } from '../answer.ts'

interface Parts {
  bytes: Bytes
  /** Bytes of the whole blob. */
  size: number
  ranges: readonly ByteRange[]
  headers: Headers
}

/** Ranges are never merged: podman counts the parts. */
export function multipart({ bytes, size, ranges, headers }: Parts): Answer {
  const boundary = randomBytes(16).toString('hex')
  const parts = ranges.map((range, at) => ({
    range,
    heading: Buffer.from(
      `${at === 0 ? '' : '\r\n'}--${boundary}\r\ncontent-type: application/octet-stream\r\ncontent-range: ${contentRange(range, size)}\r\n\r\n`,
    ),
  }))
  return {
    status: 206,
    headers: { ...headers, 'content-type': `multipart/byteranges; boundary=${boundary}` },
    content: { kind: 'parts', bytes, parts, closing: Buffer.from(`\r\n--${boundary}--\r\n`) },
  }
}
