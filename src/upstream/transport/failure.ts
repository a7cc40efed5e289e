/** What undici, sockets, TLS and DNS report, as an UpstreamError that a person understands. */
import type { ErrorCode } from '../../oci/errors.ts'
import { UpstreamError, type UpstreamErrorOptions, type UpstreamFailure } from '../upstream-error.ts'
import { AddressRefused } from './address.ts'
import { timeOuts } from './time-outs.ts'

/** What is being asked for, in the words of messages, metrics and errors. */
export interface Subject {
  upstream: string
  kind: 'manifest' | 'blob' | 'tags' | 'referrers'
  /** `GET library/alpine manifests/3.20` */
  text: string
}

/** Docker Hub's abuse limit answers with line ends that a strict parser refuses; it asks for a minute of peace. */
const unparsableRestMs = 60_000

const codes: Readonly<Record<Subject['kind'], ErrorCode>> = {
  manifest: 'MANIFEST_UNKNOWN',
  blob: 'BLOB_UNKNOWN',
  tags: 'NAME_UNKNOWN',
  referrers: 'NAME_UNKNOWN',
}

const timeouts = new Set([...timeOuts, 'ETIMEDOUT'])

export function failureOf(
  subject: Subject,
  failure: UpstreamFailure,
  message: string,
  options: UpstreamErrorOptions = {},
): UpstreamError {
  return new UpstreamError(subject.upstream, failure, message, { ...options, what: codes[subject.kind] })
}

/** An error before or after upstream's headers. Its own text is not passed on: it may quote a signed URL. */
export function translate(
  error: unknown,
  subject: Subject,
  { host, phase }: { host: string; phase: 'headers' | 'body' },
): UpstreamError {
  if (error instanceof UpstreamError) return error
  const { upstream, text } = subject
  if (error instanceof AddressRefused) {
    return failureOf(subject, 'unreachable', `${upstream} is not asked for ${text}: ${error.message}`)
  }
  const code = codeOf(error)
  const where = `${upstream} (${host})`
  if (timeouts.has(code)) {
    const stage = stages[code] ?? 'connecting'
    return failureOf(subject, 'timeout', `${where} timed out while ${stage} for ${text}`, { cause: error })
  }
  if (isUnparsable(code) && phase === 'headers') {
    const message = `${where} gave an answer to ${text} that is not HTTP (${code}), as throttling servers do`
    return failureOf(subject, 'rate-limited', message, { cause: error, retryAfterMs: unparsableRestMs })
  }
  if (code === 'UND_ERR_HEADERS_OVERFLOW') {
    return failureOf(subject, 'corrupt', `${where} sent oversized headers for ${text}`, { cause: error })
  }
  const event = phase === 'headers' ? 'is unreachable' : 'broke off'
  return failureOf(subject, 'unreachable', `${where} ${event} for ${text}: ${code}`, { cause: error })
}

const stages: Readonly<Record<string, string>> = {
  UND_ERR_HEADERS_TIMEOUT: 'waiting for headers',
  UND_ERR_BODY_TIMEOUT: 'sending the body',
}

/** undici gives its parser's errors a code or only a name. */
function isUnparsable(code: string): boolean {
  return code.startsWith('HPE_') || code === 'HTTPParserError'
}

/** The code of an error, or of the first of the addresses that were all tried. */
export function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown error'
  if ('code' in error && typeof error.code === 'string' && error.code !== '') return error.code
  if (error instanceof AggregateError) return codeOf(error.errors[0])
  return error.name
}
