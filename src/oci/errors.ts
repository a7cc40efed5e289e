/** The one error type of Layover: an OCI error code, the HTTP status it maps to, and a message for a person. */

/**
 * Codes of the distribution specification (spec.md, "Error Codes"); `TAG_IMMUTABLE` is our extension.
 * The last five only appear with 5xx answers, whose bodies the specification leaves free.
 */
const statusByCode = {
  BLOB_UNKNOWN: 404,
  BLOB_UPLOAD_INVALID: 416,
  BLOB_UPLOAD_UNKNOWN: 404,
  DENIED: 403,
  DIGEST_INVALID: 400,
  MANIFEST_BLOB_UNKNOWN: 400,
  MANIFEST_INVALID: 400,
  MANIFEST_UNKNOWN: 404,
  NAME_INVALID: 400,
  NAME_UNKNOWN: 404,
  SIZE_INVALID: 400,
  TAG_IMMUTABLE: 409,
  TOOMANYREQUESTS: 429,
  UNAUTHORIZED: 401,
  UNSUPPORTED: 405,
  UNKNOWN: 500,
  STORAGE_FULL: 507,
  UNAVAILABLE: 503,
  TIMEOUT: 504,
  LOOP: 508,
} as const

export type ErrorCode = keyof typeof statusByCode

export function isErrorCode(text: unknown): text is ErrorCode {
  return typeof text === 'string' && Object.hasOwn(statusByCode, text)
}

export interface ErrorOptions {
  /** Overrides the status that the code implies. */
  status?: number
  detail?: unknown
  /** One error each is told of, instead of one with `detail`. */
  details?: readonly unknown[]
  /** Sent as `Retry-After`, rounded up to whole seconds. */
  retryAfterMs?: number
  /** Further response headers, e.g. `Allow` or `Content-Range`. */
  headers?: Record<string, string>
  cause?: unknown
}

export class RegistryError extends Error {
  override readonly name: string = 'RegistryError'
  readonly code: ErrorCode
  readonly status: number
  /** One for each error that the answer lists. */
  readonly details: readonly unknown[]
  readonly retryAfterMs: number | undefined
  readonly headers: Readonly<Record<string, string>>

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.status = options.status ?? statusByCode[code]
    this.details = options.details ?? [options.detail]
    this.retryAfterMs = options.retryAfterMs
    this.headers = options.headers ?? {}
  }
}
