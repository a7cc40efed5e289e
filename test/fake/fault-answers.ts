/** What a scripted fault makes of an answer, and how the answer is to be sent. */
import { gzipSync } from 'node:zlib'
import { type Answer, answer, html, json, type Request, redirect, sizeOf, whole } from './answer.ts'
import { bufferContent, type Content, readContent, seededContent } from './bytes.ts'
import type { BodyFault, EarlyFault, Fault, FaultMatch, HeaderFault } from './fault.ts'
import { rateLimited } from './rate-limit-answers.ts'

/** How an answer is sent. Positions count from the first byte of the body. */
export interface Sending {
  answer: Answer
  /** Nothing beyond `at` until the fault is released. */
  hold?: { at: number; fault: Fault }
  cut?: { at: number; how: 'fin' | 'rst' }
  /** HTTP/2: no further requests on this connection after so many bytes. */
  lastAt?: number
  delayMs?: number
  bytesPerSecond?: number
  earlyHints?: boolean
}

type Answering = Extract<EarlyFault, { kind: 'status' | 'rate-limited' | 'html' | 'redirect' | 'big-error' }>

/** The answer of an early fault that answers. */
export function earlyAnswer(spec: Answering, request: Request, nowMs: number): Answer {
  if (spec.kind === 'rate-limited') return rateLimited(spec.form, nowMs)
  if (spec.kind === 'html') return html(200, 'Please log in')
  if (spec.kind === 'redirect') {
    const { location, status = 307 } = spec
    return redirect(status, typeof location === 'string' ? location : location(request))
  }
  if (spec.kind === 'big-error') {
    const content = seededContent('big error', spec.bytes ?? 10 * 1024 * 1024)
    const headers = { 'content-length': String(content.size), 'content-type': 'text/plain' }
    return { status: spec.status ?? 400, headers, body: whole(content) }
  }
  const { status, body = '', headers } = spec
  return typeof body === 'string' || Buffer.isBuffer(body)
    ? answer(status, body, headers)
    : json(status, body, headers)
}

/** A good answer as the fault spoils it. */
export function spoil(fault: Fault, good: Answer, request: Request): Sending {
  const spec = fault.spec as FaultMatch & (HeaderFault | BodyFault)
  if (spec.kind === 'stall') return { answer: good, hold: { at: spec.at, fault } }
  if (spec.kind === 'fin' || spec.kind === 'rst')
    return { answer: good, cut: { at: spec.at, how: spec.kind } }
  if (spec.kind === 'last-answer') return { answer: good, lastAt: spec.at }
  if (spec.kind === 'early-hints') return { answer: good, earlyHints: true }
  if (spec.kind === 'slow') {
    const { firstByteMs = 0, bytesPerSecond } = spec
    return { answer: good, delayMs: firstByteMs, ...(bytesPerSecond === undefined ? {} : { bytesPerSecond }) }
  }
  if (spec.kind === 'then') {
    spec.run(request)
    return { answer: good }
  }
  return { answer: isRewriting(spec) ? otherBody(spec, good) : otherHeaders(spec, good) }
}

type Renaming = Extract<HeaderFault, { kind: 'headers' | 'wrong-digest' | 'no-digest' | 'chunked' }>
type Rewriting = Exclude<BodyFault, { kind: 'stall' | 'slow' | 'fin' | 'rst' | 'last-answer' }>

function isRewriting(spec: Renaming | Rewriting): spec is Rewriting {
  return !['headers', 'wrong-digest', 'no-digest', 'chunked'].includes(spec.kind)
}

function otherHeaders(spec: Renaming, good: Answer): Answer {
  if (spec.kind === 'headers') return without(withHeaders(good, spec.set ?? {}), spec.remove ?? [])
  if (spec.kind === 'no-digest') return without(good, ['docker-content-digest'])
  if (spec.kind === 'chunked') return without(good, ['content-length'])
  return withHeaders(good, { 'docker-content-digest': `sha256:${'0'.repeat(64)}` })
}

function otherBody(spec: Rewriting, good: Answer): Answer {
  if (spec.kind.startsWith('wrong-') || spec.kind === 'ignore-range') return otherRange(spec, good)
  const { first, end, content } = good.body
  if (spec.kind === 'short') return withBody(good, content, first, Math.min(end, first + spec.length))
  if (spec.kind === 'short-chunked') {
    return without(withBody(good, content, first, Math.min(end, first + spec.length)), ['content-length'])
  }
  if (spec.kind === 'extra') {
    const longer = bufferContent(Buffer.concat([bytesOf(good), Buffer.alloc(spec.bytes, 'x')]))
    return spec.silent ? { ...good, body: whole(longer) } : withBody(good, longer, 0, longer.size)
  }
  if (spec.kind === 'corrupt') {
    return { ...good, body: { content: corrupted(content, first + (spec.at ?? 0)), first, end } }
  }
  const packed = bufferContent(gzipSync(bytesOf(good)))
  return withHeaders(withBody(good, packed, 0, packed.size), { 'content-encoding': 'gzip' })
}

function otherRange(spec: Rewriting, good: Answer): Answer {
  const { first, end, content } = good.body
  if (spec.kind === 'wrong-start') {
    const by = spec.by ?? 1
    const start = first >= by ? first - by : first + by
    const range = `bytes ${start}-${end - 1}/${content.size}`
    return withHeaders(withBody(good, content, start, end), { 'content-range': range })
  }
  if (spec.kind === 'wrong-total') {
    const total = content.size + (spec.by ?? 1)
    return withHeaders(good, { 'content-range': `bytes ${first}-${end - 1}/${total}` })
  }
  const all = good.whole ?? content
  return without({ ...withBody(good, all, 0, all.size), status: 200 }, ['content-range'])
}

function bytesOf({ body }: Answer): Buffer {
  return readContent(body.content, body.first, body.end)
}

function corrupted(content: Content, at: number): Content {
  return {
    size: content.size,
    *chunks(first, end) {
      let position = first
      for (const chunk of content.chunks(first, end)) {
        const offset = at - position
        position += chunk.length
        if (offset < 0 || offset >= chunk.length) {
          yield chunk
          continue
        }
        const copy = Buffer.from(chunk)
        copy[offset] = (copy[offset] ?? 0) ^ 0xff
        yield copy
      }
    },
  }
}

function withBody(good: Answer, content: Content, first: number, end: number): Answer {
  const body = { content, first, end }
  return { ...good, body, headers: { ...good.headers, 'content-length': String(sizeOf(body)) } }
}

function withHeaders(good: Answer, headers: Answer['headers']): Answer {
  return { ...good, headers: { ...good.headers, ...headers } }
}

function without(good: Answer, names: readonly string[]): Answer {
  const gone = new Set(names.map(name => name.toLowerCase()))
  return {
    ...good,
    headers: Object.fromEntries(Object.entries(good.headers).filter(([name]) => !gone.has(name))),
  }
}
