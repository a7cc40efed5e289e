/** What the AWS SDK throws, as the store understands it. */
import { ObjectsFailure, type ObjectsTrouble } from '../objects.ts'

interface ServiceError extends Error {
  readonly $metadata?: { readonly httpStatusCode?: number; readonly attempts?: number }
}

const throttling = ['SlowDown', 'Throttling', 'ThrottlingException', 'TooManyRequests', 'ServiceUnavailable']
const timeouts = ['TimeoutError', 'RequestTimeout', 'BodyTimeoutError']

export function isStatus(error: unknown, status: number): boolean {
  return statusOf(error) === status
}

/** There is no such object, which is no failure. */
export function isAbsent(error: unknown): boolean {
  return isStatus(error, 404) && nameOf(error) !== 'NoSuchBucket' && nameOf(error) !== 'NoSuchUpload'
}

/** It was tried more than once: an earlier try may have done it. */
export function wasRepeated(error: unknown): boolean {
  return ((error as ServiceError).$metadata?.attempts ?? 1) > 1
}

/**
 * @param what was asked, and of whom, for the message
 * @param own the time-out of ours that may have ended it
 */
export function failureOf(error: unknown, what: string, own?: AbortSignal): ObjectsFailure {
  if (error instanceof ObjectsFailure) return error
  const trouble = own?.aborted ? 'timeout' : troubleOf(error)
  const said = own?.aborted ? 'no answer in time' : messageOf(error)
  return new ObjectsFailure(trouble, `${what}: ${said}`, { cause: error })
}

function troubleOf(error: unknown): ObjectsTrouble {
  const status = statusOf(error)
  const name = nameOf(error)
  if (name === 'NoSuchBucket') return 'missing'
  if (status === 503 || status === 429 || throttling.includes(name)) return 'throttled'
  if (status === 401 || status === 403 || name === 'CredentialsProviderError') return 'denied'
  if (timeouts.includes(name)) return 'timeout'
  return status === undefined ? 'unreachable' : 'broken'
}

function messageOf(error: unknown): string {
  const status = statusOf(error)
  const name = nameOf(error)
  const text = error instanceof Error && error.message !== 'UnknownError' ? error.message : ''
  return [status, name === 'Error' || name === 'Unknown' ? '' : name, text]
    .filter(part => part !== undefined && part !== '')
    .join(' ')
}

function statusOf(error: unknown): number | undefined {
  const status = error instanceof Error ? (error as ServiceError).$metadata?.httpStatusCode : undefined
  return status !== undefined && status >= 300 ? status : undefined
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : ''
}
