/** Failures of upstreams as one replica tells them to another. */
import { type ErrorCode, isErrorCode } from '../oci/errors.ts'
import { isUpstreamFailure, UpstreamError } from '../upstream/upstream-error.ts'

/** Of an answer: its body tells of a failure of upstream. */
export const failureHeader = 'replica-failure'

export interface ToldFailure {
  readonly upstream: string
  readonly failure: string
  readonly code: string
  readonly message: string
  readonly status: number | undefined
  readonly retryAfterMs: number | undefined
}

export function tell({
  upstream,
  failure,
  code,
  message,
  upstreamStatus: status,
  retryAfterMs,
}: UpstreamError): ToldFailure {
  return { upstream, failure, code, message, status, retryAfterMs }
}

/** Undefined for what tells of none that we know. */
export function failureIn(text: string): UpstreamError | undefined {
  const told = parse(text)
  if (!told || !isUpstreamFailure(told.failure) || !isErrorCode(told.code)) return undefined
  const { upstream, failure, message, status, retryAfterMs } = told
  const what: ErrorCode = told.code
  return new UpstreamError(String(upstream), failure, String(message), {
    what,
    ...(typeof status === 'number' ? { upstreamStatus: status } : {}),
    ...(typeof retryAfterMs === 'number' ? { retryAfterMs } : {}),
  })
}

/** Of a replica that may be of another version. */
type Told = Readonly<Record<keyof ToldFailure, unknown>>

function parse(text: string): Told | undefined {
  try {
    return (JSON.parse(text) as Told | null) ?? undefined
  } catch {
    return undefined // no JSON
  }
}
