/** The cheapest reader of large bodies: one request on a bare socket, large reads into one buffer, nothing kept. */
import { createHash } from 'node:crypto'
import { closeSync, openSync, writeSync } from 'node:fs'
import { connect } from 'node:net'
import type { Content } from './content.ts'
import { nowMs } from './monotonic.ts'

const readBytes = 512 * 1024
/** Of every read, so much at either end is compared: enough to see a shifted, missing or repeated byte. */
const sampledBytes = 64

export interface Transfer {
  status: number
  startedMs: number
  /** Of the body; undefined where none came. */
  firstByteMs: number | undefined
  endedMs: number
  bytes: number
  /** Content-Length. */
  length: number | undefined
  /** Every sample was what it should be, and all announced bytes came. */
  right: boolean
  sha256: string | undefined
}

export interface BulkAsk {
  url: string
  content: Content
  /** Costs time; without it only samples are compared. */
  hash?: boolean
  /** A file for the body: what it costs any client that keeps it. */
  saveTo?: string
}

/** Never rejects: a connection that breaks is a transfer that is not right. */
export function readBulk(ask: BulkAsk): Promise<Transfer> {
  const { hostname, port, pathname, search } = new URL(ask.url)
  const reading = new Reading(ask)
  const { promise, resolve } = Promise.withResolvers<Transfer>()
  const socket = connect({
    host: hostname,
    port: Number(port),
    onread: {
      buffer: Buffer.allocUnsafe(readBytes),
      callback: (length: number, buffer: Uint8Array) => {
        reading.take(Buffer.from(buffer.buffer, buffer.byteOffset, length))
        if (reading.complete) socket.destroy()
        return true
      },
    },
  })
  socket.on('connect', () =>
    socket.write(`GET ${pathname}${search} HTTP/1.1\r\nHost: ${hostname}\r\nConnection: close\r\n\r\n`),
  )
  socket.on('error', () => {}) // `close` follows
  socket.on('end', () => socket.destroy())
  socket.on('close', () => resolve(reading.result()))
  return promise
}

class Reading {
  readonly #content: Content
  readonly #hash
  readonly #file
  readonly #startedMs = nowMs()
  #head = ''
  #status = 0
  #length: number | undefined
  #firstByteMs: number | undefined
  #bytes = 0
  #matches = true

  constructor({ content, hash, saveTo }: BulkAsk) {
    this.#content = content
    this.#hash = hash === true ? createHash('sha256') : undefined
    this.#file = saveTo === undefined ? undefined : openSync(saveTo, 'wx')
  }

  get complete(): boolean {
    return this.#bytes === this.#length
  }

  take(chunk: Buffer): void {
    const body = this.#status === 0 ? this.#takeHead(chunk) : chunk
    if (body.length > 0) this.#takeBody(body)
  }

  result(): Transfer {
    if (this.#file !== undefined) closeSync(this.#file)
    return {
      status: this.#status,
      startedMs: this.#startedMs,
      firstByteMs: this.#firstByteMs,
      endedMs: nowMs(),
      bytes: this.#bytes,
      length: this.#length,
      right: this.#status === 200 && this.#matches && this.complete && this.#bytes === this.#content.size,
      sha256: this.#hash?.digest('hex'),
    }
  }

  /** What follows the head in these bytes. */
  #takeHead(chunk: Buffer): Buffer {
    const before = this.#head.length
    this.#head += chunk.toString('latin1')
    const end = this.#head.indexOf('\r\n\r\n')
    if (end < 0) return Buffer.alloc(0)
    this.#status = Number(this.#head.slice(9, 12))
    const length = /^content-length: *(\d+)/im.exec(this.#head.slice(0, end))?.[1]
    this.#length = length === undefined ? undefined : Number(length)
    return chunk.subarray(end + 4 - before)
  }

  #takeBody(chunk: Buffer): void {
    this.#firstByteMs ??= nowMs()
    const tail = chunk.subarray(-sampledBytes)
    this.#matches &&= this.#content.matches(this.#bytes, chunk.subarray(0, sampledBytes))
    this.#matches &&= this.#content.matches(this.#bytes + chunk.length - tail.length, tail)
    this.#hash?.update(chunk)
    if (this.#file !== undefined) writeSync(this.#file, chunk)
    this.#bytes += chunk.length
  }
}
