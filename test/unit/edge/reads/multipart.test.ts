/** Several ranges in one body, and how long bodies are. */
import { describe, expect, test } from 'vitest'
import { type Content, contentLength, json, noContent } from '../../../../src/edge/answer.ts'
import { multipart } from '../../../../src/edge/reads/multipart.ts'
import type { Bytes } from '../../../../src/stream/bytes.ts'

const blob = Buffer.from('0123456789abcdefghij')
const bytes: Bytes = { read: async () => [blob], close: () => {} }

/** As it goes onto the wire. */
function rendered(content: Content): string {
  if (content.kind !== 'parts') throw new Error('no parts')
  const parts = content.parts.map(({ heading, range }) =>
    Buffer.concat([heading, blob.subarray(range.first, range.last + 1)]),
  )
  return Buffer.concat([...parts, content.closing]).toString()
}

describe('multipart', () => {
  test('every range is a part of its own, also where two touch', () => {
    const ranges = [
      { first: 0, last: 4 },
      { first: 5, last: 5 },
      { first: 10, last: 19 },
    ]
    const answer = multipart({ bytes, size: 20, ranges, headers: { 'content-type': 'x', etag: '"y"' } })
    const boundary = /^multipart\/byteranges; boundary=([0-9a-f]+)$/.exec(
      answer.headers['content-type'] ?? '',
    )?.[1]
    const part = (range: string, content: string) =>
      `--${boundary}\r\ncontent-type: application/octet-stream\r\ncontent-range: bytes ${range}/20\r\n\r\n${content}\r\n`
    expect(answer.status).toBe(206)
    expect(answer.headers.etag).toBe('"y"')
    expect(rendered(answer.content)).toBe(
      `${part('0-4', '01234')}${part('5-5', '5')}${part('10-19', 'abcdefghij')}--${boundary}--\r\n`,
    )
    expect(contentLength(answer.content)).toBe(Buffer.byteLength(rendered(answer.content)))
  })

  test('boundaries differ from answer to answer', () => {
    const make = () =>
      multipart({ bytes, size: 20, ranges: [{ first: 0, last: 0 }], headers: {} }).headers['content-type']
    expect(make()).not.toBe(make())
  })
})

describe('content length', () => {
  test('is that of what will be sent, and unknown where only the end will tell', () => {
    expect(contentLength(noContent)).toBe(0)
    expect(contentLength(json({ a: 'é' }).content)).toBe(10)
    expect(contentLength({ kind: 'bytes', bytes, range: { first: 3, last: 3 } })).toBe(1)
    expect(contentLength({ kind: 'bytes', bytes, range: { first: 0, last: -1 } })).toBe(0)
    expect(contentLength({ kind: 'bytes', bytes, range: undefined })).toBeUndefined()
  })
})
