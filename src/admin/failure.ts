/** What the admin API answers when something asked of it is not done. */
import { RegistryError } from '../oci/errors.ts'
import { isOutOfDescriptors } from '../runtime/descriptors.ts'
import { UpstreamError } from '../upstream/upstream-error.ts'

const statusByCode = {
  INVALID_REQUEST: 400,
  DENIED: 403,
  NOT_FOUND: 404,
  METHOD_NOT_ALLOWED: 405,
  CONFLICT: 409,
  TOO_LARGE: 413,
  UNSUPPORTED_MEDIA_TYPE: 415,
  CONFIG_INVALID: 422,
  INTERNAL: 500,
  NOT_IMPLEMENTED: 501,
  UNAVAILABLE: 503,
} as const

export type FailureCode = keyof typeof statusByCode

/** Its message says what to do. */
export class AdminError extends Error {
  override readonly name = 'AdminError'
  readonly code: FailureCode
  /** Further fields of the error. */
  readonly fields: Readonly<Record<string, unknown>>
  readonly headers: Readonly<Record<string, string>>

  constructor(
    code: FailureCode,
    message: string,
    { fields = {}, headers = {} }: Partial<Pick<AdminError, 'fields' | 'headers'>> = {},
  ) {
    super(message)
    this.code = code
    this.fields = fields
    this.headers = headers
  }

  get status(): number {
    return statusByCode[this.code]
  }
}

export interface Failure {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: { readonly error: { readonly code: string; readonly message: string } }
}

/** An error of another kind is a fault of ours: its message may hold paths and goes to the log alone. */
export function failureOf(error: unknown): Failure {
  if (error instanceof AdminError) {
    const { code, message, status, headers, fields } = error
    return { status, headers, body: { error: { code, message, ...fields } } }
  }
  if (error instanceof RegistryError) {
    const { code, message, status } = error
    const about =
      error instanceof UpstreamError ? { upstream: error.upstream, upstreamFailure: error.failure } : {}
    return { status, headers: {}, body: { error: { code, message, ...about } } }
  }
  return isOutOfDescriptors(error)
    ? failureOf(
        new AdminError('UNAVAILABLE', 'too many files and connections are open: try again in a moment'),
      )
    : failureOf(new AdminError('INTERNAL', 'internal error; see the log'))
}

/** What only the log may tell, and has to. */
export function isOurs(error: unknown): boolean {
  return !(error instanceof AdminError || error instanceof RegistryError)
}
