/** A client that knows a whole body from a broken one, reads as slowly as a test likes, and leaves when it is told to. */
import { once } from 'node:events'
import { type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http'
import { expect } from 'vitest'
import { readContent, type StoredBlob } from '../fake/bytes.ts'

export interface Download {
  /** 0 when the connection ended before any answer. */
  status: number
  headers: IncomingHttpHeaders
  bytes: Buffer
  /** The answer ended as HTTP says that answers end. */
  whole: boolean
}

export interface DownloadOptions {
  method?: 'GET' | 'HEAD'
  headers?: Record<string, string>
}

export async function download(url: string, options: DownloadOptions = {}): Promise<Download> {
  try {
    return await (await openDownload(url, options)).finish()
  } catch {
    return { status: 0, headers: {}, bytes: Buffer.alloc(0), whole: false }
  }
}

/** Resolves at the answer's headers; nothing of the body is asked for until the reader does. */
export async function openDownload(url: string, { method = 'GET', headers = {} }: DownloadOptions = {}) {
  const outgoing = request(url, { method, headers, agent: false })
  outgoing.on('error', () => {}) // before the headers `once` rejects, after them the body tells
  outgoing.end()
  const [message] = (await once(outgoing, 'response')) as [IncomingMessage]
  return new Reader(message)
}

export class Reader {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly #message: IncomingMessage
  readonly #chunks: Buffer[] = []
  #length = 0

  constructor(message: IncomingMessage) {
    this.#message = message
    this.status = message.statusCode ?? 0
    this.headers = message.headers
  }

  /** Reads until it has so many bytes, or the body ends. Resolves with how many it has. */
  async take(count: number): Promise<number> {
    if (this.#length >= count) return this.#length
    for await (const chunk of this.#message.iterator({ destroyOnReturn: false })) {
      this.#chunks.push(chunk as Buffer)
      this.#length += (chunk as Buffer).length
      if (this.#length >= count) break
    }
    return this.#length
  }

  async finish(): Promise<Download> {
    await this.take(Number.POSITIVE_INFINITY).catch(() => {}) // `complete` says whether it broke
    const { status, headers } = this
    return { status, headers, bytes: Buffer.concat(this.#chunks), whole: this.#message.complete }
  }

  leave(): void {
    this.#message.destroy()
  }
}

/** All of the blob, or of the part of it from `first` to before `end`. */
export function expectWhole(
  { status, bytes, whole }: Download,
  blob: StoredBlob,
  first = 0,
  end = blob.size,
) {
  expect({ status, whole, length: bytes.length }).toEqual({
    status: first === 0 && end === blob.size && status === 200 ? 200 : 206,
    whole: true,
    length: end - first,
  })
  expect(bytes.equals(readContent(blob.content, first, end)), 'the bytes are those of the digest').toBe(true)
}

/** The promise of every answer: all of the right bytes, or an error, or a connection that breaks before the end. */
export function expectHonest(found: Download, blob: StoredBlob): 'whole' | 'refused' | 'broken' {
  if (!found.whole) {
    const announced = found.headers['content-length'] // without it the last chunk is what is missing
    if (announced !== undefined) expect(found.bytes.length).toBeLessThan(Number(announced))
    return 'broken'
  }
  if (found.status >= 400) {
    expect([502, 503, 504]).toContain(found.status)
    return 'refused'
  }
  expectWhole(found, blob)
  return 'whole'
}
