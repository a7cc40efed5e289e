/** The faults a test can script: which requests they meet, what they do, and the handle to watch and end them. */
import type { Answer, Request } from './answer.ts'
import type { RateLimitForm } from './rate-limit-answers.ts'
import { matches } from './request-log.ts'

export interface FaultMatch {
  host?: string
  method?: string
  path?: RegExp
  /** Only requests with (or without) an Authorization header. */
  authorized?: boolean
  /** After how many hits it is over; default: never. */
  times?: number
  /** How many matching requests pass unharmed first. */
  skip?: number
}

/** Instead of an answer. */
export type EarlyFault =
  /** The host's port is closed: connection refused. Needs `host`, ignores the rest of the match. */
  | { kind: 'refuse' }
  /** No answer until released. */
  | { kind: 'hang' }
  /** The connection ends before any header. */
  | { kind: 'drop'; how?: 'fin' | 'rst' }
  /** A keep-alive connection is found closed when it is used again. */
  | { kind: 'drop-reused' }
  /** HTTP/2: the connection ends, and says that this request was not looked at. */
  | { kind: 'go-away' }
  | { kind: 'status'; status: number; body?: string | Buffer | object; headers?: Answer['headers'] }
  | { kind: 'rate-limited'; form: RateLimitForm }
  /** An HTML page with 200, as a captive portal or a login page answers. */
  | { kind: 'html' }
  | { kind: 'redirect'; location: string | ((request: Request) => string); status?: number }
  /** An error with a body of many bytes. */
  | { kind: 'big-error'; status?: number; bytes?: number }

/** Changes to the headers of a good answer, HEAD's included. */
export type HeaderFault =
  | { kind: 'headers'; set?: Answer['headers']; remove?: readonly string[] }
  | { kind: 'wrong-digest' }
  | { kind: 'no-digest' }
  /** Without Content-Length. */
  | { kind: 'chunked' }
  /** A 103 ahead of the answer. */
  | { kind: 'early-hints' }
  /** The answer is right; `run` changes the world after it was made: a tag that moves between HEAD and GET. */
  | { kind: 'then'; run: (request: Request) => void }

/** Changes to the body of a good answer to a GET. Positions count from the answer's first byte. */
export type BodyFault =
  /** `at` bytes go out, the rest when released; 0: the headers only. */
  | { kind: 'stall'; at: number }
  /** In real time. */
  | { kind: 'slow'; firstByteMs?: number; bytesPerSecond?: number }
  | { kind: 'fin'; at: number }
  | { kind: 'rst'; at: number }
  /** HTTP/2: after `at` bytes the connection takes no further requests; this answer goes on. */
  | { kind: 'last-answer'; at: number }
  /** A clean end after `length` bytes, with a Content-Length that says so. */
  | { kind: 'short'; length: number }
  /** A chunked body that ends cleanly after `length` bytes. */
  | { kind: 'short-chunked'; length: number }
  /** More bytes than there are; `silent`: Content-Length does not count them. */
  | { kind: 'extra'; bytes: number; silent?: boolean }
  /** One byte is another, the length is the same. */
  | { kind: 'corrupt'; at?: number }
  | { kind: 'gzip' }
  /** Range is answered with 200 and everything. */
  | { kind: 'ignore-range' }
  /** 206 that begins `by` bytes off what was asked. */
  | { kind: 'wrong-start'; by?: number }
  /** 206 whose Content-Range names another total: the object changed. */
  | { kind: 'wrong-total'; by?: number }

export type FaultSpec = FaultMatch & (EarlyFault | HeaderFault | BodyFault)

const early = new Set<FaultSpec['kind']>([
  'refuse',
  'hang',
  'drop',
  'drop-reused',
  'go-away',
  'status',
  'rate-limited',
  'html',
  'redirect',
  'big-error',
])
const bodily = new Set<FaultSpec['kind']>([
  'stall',
  'slow',
  'fin',
  'rst',
  'last-answer',
  'short',
  'short-chunked',
  'extra',
  'corrupt',
  'gzip',
  'ignore-range',
  'wrong-start',
  'wrong-total',
])

export class Fault {
  readonly spec: FaultSpec
  /** Requests that were harmed. */
  hits = 0
  /** The first request is hung, or has got its bytes up to the stall. */
  readonly reached: Promise<void>
  /** Resolves when the fault holds nothing back any more. */
  readonly released: Promise<void>
  readonly #reach: () => void
  readonly #release: () => void
  readonly #end: () => Promise<void>
  #skipped = 0
  #over = false

  constructor(spec: FaultSpec, end: () => Promise<void>) {
    this.spec = spec
    this.#end = end
    const reached = Promise.withResolvers<void>()
    const released = Promise.withResolvers<void>()
    this.reached = reached.promise
    this.released = released.promise
    this.#reach = reached.resolve
    this.#release = released.resolve
  }

  get active(): boolean {
    return !this.#over && this.hits < (this.spec.times ?? Number.POSITIVE_INFINITY)
  }

  /** Lets what is held go on; requests that come later are not held any more. */
  release(): void {
    this.#over = true
    this.#release()
  }

  /** Ends the fault. What is held goes on. Resolves at once but for `refuse`: when the port is open again. */
  async off(): Promise<void> {
    this.release()
    await this.#end()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.off()
  }

  markReached(): void {
    this.#reach()
  }

  meets(request: Request): boolean {
    const { authorized } = this.spec
    return (
      this.active &&
      matches(request, this.spec) &&
      (authorized === undefined || authorized === (request.headers.authorization !== undefined))
    )
  }

  /** Counts the request; false while it is one of those to be skipped. */
  take(): boolean {
    if (this.#skipped < (this.spec.skip ?? 0)) {
      this.#skipped += 1
      return false
    }
    this.hits += 1
    return true
  }
}

export function isEarly(spec: FaultSpec): spec is FaultMatch & EarlyFault {
  return early.has(spec.kind)
}

/** Whether the fault can show in this answer: it changes good answers only, bodies of GET only. */
export function applies(spec: FaultSpec, request: Request, { status }: Answer): boolean {
  if (status < 200 || status > 299) return false
  if (!bodily.has(spec.kind)) return true
  if (request.method !== 'GET') return false
  if (spec.kind === 'ignore-range') return request.headers.range !== undefined
  return !spec.kind.startsWith('wrong-') || status === 206
}
