/** What can go wrong with an upstream, and the status each case gets when nothing is cached. */
import { type ErrorCode, RegistryError } from '../oci/errors.ts'

export type UpstreamFailure =
  /** Upstream said 404. */
  | 'not-found'
  /** 401 or 403 to a fresh anonymous token: Docker Hub's way of saying that there is no such repository. */
  | 'hidden'
  /** 401 or 403 to our own credential, at the registry. */
  | 'denied'
  /** 401 or 403 to the caller's own credential, or to a caller without one: what is here is not for him. */
  | 'caller-refused'
  /** The token realm refused our credential: a person must act. */
  | 'credential-refused'
  /** The name is kept off this upstream by its allow and deny patterns; nothing was asked. */
  | 'not-allowed'
  | 'rate-limited'
  /** Refused, reset, DNS, TLS, an address that is not allowed. */
  | 'unreachable'
  | 'server-error'
  | 'timeout'
  /** Wrong digest or size, or an answer that is no registry's. */
  | 'corrupt'
  | 'too-large'
  /** The breaker of this origin is open. */
  | 'resting'
  /** Our own `CDN-Loop` mark came back. */
  | 'loop'

export interface UpstreamErrorOptions {
  /** The status upstream answered with, if it answered. */
  upstreamStatus?: number
  retryAfterMs?: number
  /** Our credential was refused as such, and not for what was asked for. */
  altogether?: boolean
  cause?: unknown
}

export class UpstreamError extends RegistryError {
  override readonly name = 'UpstreamError'
  readonly upstream: string
  readonly failure: UpstreamFailure
  readonly upstreamStatus: number | undefined
  readonly altogether: boolean

  /** @param what the code for "absent": MANIFEST_UNKNOWN, BLOB_UNKNOWN or NAME_UNKNOWN */
  constructor(
    upstream: string,
    failure: UpstreamFailure,
    message: string,
    { what = 'NAME_UNKNOWN', ...options }: UpstreamErrorOptions & { what?: ErrorCode } = {},
  ) {
    const { code, retryable } = answers[failure]
    super(code ?? what, message, {
      detail: {
        upstream,
        failure,
        ...(options.upstreamStatus === undefined ? {} : { status: options.upstreamStatus }),
      },
      ...(retryable ? { retryAfterMs: options.retryAfterMs ?? defaultRetryAfterMs } : {}),
      ...(options.cause === undefined ? {} : { cause: options.cause }),
    })
    this.upstream = upstream
    this.failure = failure
    this.upstreamStatus = options.upstreamStatus
    this.altogether = options.altogether ?? failure === 'credential-refused'
  }

  /** Upstream's own word that there is nothing: the only failures that may become a 404. */
  get absent(): boolean {
    return this.failure === 'not-found' || this.failure === 'hidden'
  }

  /** The failure speaks of this repository or credential and not of the upstream as a whole. */
  get personal(): boolean {
    return (
      this.absent ||
      this.failure === 'denied' ||
      this.failure === 'caller-refused' ||
      this.failure === 'credential-refused' ||
      this.failure === 'not-allowed'
    )
  }
}

export function isUpstreamFailure(text: unknown): text is UpstreamFailure {
  return typeof text === 'string' && Object.hasOwn(answers, text)
}

/** Upstream's own word that there is nothing. */
export function isAbsent(error: unknown): boolean {
  return error instanceof UpstreamError && error.absent
}

export function isTimeout(error: unknown): boolean {
  return error instanceof UpstreamError && error.failure === 'timeout'
}

const defaultRetryAfterMs = 5_000

const answers: Record<UpstreamFailure, { code?: ErrorCode; retryable: boolean }> = {
  'not-found': { retryable: false },
  hidden: { retryable: false },
  denied: { code: 'DENIED', retryable: false },
  'caller-refused': { code: 'DENIED', retryable: false },
  'not-allowed': { code: 'DENIED', retryable: false },
  'credential-refused': { code: 'UNAVAILABLE', retryable: true },
  'rate-limited': { code: 'UNAVAILABLE', retryable: true },
  unreachable: { code: 'UNAVAILABLE', retryable: true },
  'server-error': { code: 'UNAVAILABLE', retryable: true },
  timeout: { code: 'TIMEOUT', retryable: true },
  corrupt: { code: 'UNAVAILABLE', retryable: true },
  'too-large': { code: 'UNAVAILABLE', retryable: true },
  resting: { code: 'UNAVAILABLE', retryable: true },
  loop: { code: 'LOOP', retryable: false },
}
