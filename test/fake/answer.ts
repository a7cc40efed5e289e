/** A request and its answer as values, so that hosts are plain functions and faults transform what they say. */
import type { IncomingHttpHeaders } from 'node:http'
import { bufferContent, type Content } from './bytes.ts'

export interface Request {
  readonly host: string
  readonly method: string
  /** Without the query. */
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingHttpHeaders
  readonly body: string
  /** Address of the peer. */
  readonly address: string
}

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | readonly string[]>>
  /** What follows the headers; of a range, its bytes only. Kept for HEAD, and not sent. */
  readonly body: Slice
  /** The whole object that a range was cut from. */
  readonly whole?: Content
}

/** A part of a content. */
export interface Slice {
  readonly content: Content
  readonly first: number
  readonly end: number
}

export type Handler = (request: Request) => Answer | Promise<Answer>

export function whole(content: Content): Slice {
  return { content, first: 0, end: content.size }
}

export function sizeOf({ first, end }: Slice): number {
  return end - first
}

/** Content-Length follows from the body unless given. */
export function answer(status: number, body: string | Buffer, headers: Answer['headers'] = {}): Answer {
  const bytes = Buffer.from(body)
  return {
    status,
    headers: { 'content-length': String(bytes.length), ...headers },
    body: whole(bufferContent(bytes)),
  }
}

export function json(status: number, value: unknown, headers: Answer['headers'] = {}): Answer {
  return answer(status, JSON.stringify(value), { 'content-type': 'application/json', ...headers })
}

/** The error body of the distribution specification. */
export function ociError(
  status: number,
  code: string,
  message: string,
  headers: Answer['headers'] = {},
): Answer {
  return json(status, { errors: [{ code, message }] }, headers)
}

export function html(status: number, title: string, headers: Answer['headers'] = {}): Answer {
  const page = `<html><head><title>${title}</title></head><body><h1>${title}</h1></body></html>\n`
  return answer(status, page, { 'content-type': 'text/html; charset=utf-8', ...headers })
}

/** The redirect has a body of its own, whose length is not the blob's. */
export function redirect(status: number, location: string, headers: Answer['headers'] = {}): Answer {
  const body = `<a href="${location}">Temporary Redirect</a>.\n\n`
  return answer(status, body, { location, 'content-type': 'text/html; charset=utf-8', ...headers })
}

/** A whole object, or the one range that was asked of it; several ranges at once are answered whole. */
export function ranged(request: Request, content: Content, headers: Answer['headers']): Answer {
  const shared = { 'accept-ranges': 'bytes', ...headers }
  const asked = /^bytes=(\d*)-(\d*)$/.exec(request.headers.range ?? '')
  if (!asked) {
    return {
      status: 200,
      headers: { 'content-length': String(content.size), ...shared },
      body: whole(content),
    }
  }
  const [, from = '', to = ''] = asked
  const first = from === '' ? Math.max(0, content.size - Number(to)) : Number(from)
  const end = from === '' || to === '' ? content.size : Math.min(content.size, Number(to) + 1)
  if (first >= end) {
    return ociError(416, 'RANGE_INVALID', 'range not satisfiable', {
      'content-range': `bytes */${content.size}`,
    })
  }
  return {
    status: 206,
    headers: {
      ...shared,
      'content-length': String(end - first),
      'content-range': `bytes ${first}-${end - 1}/${content.size}`,
    },
    body: { content, first, end },
    whole: content,
  }
}
