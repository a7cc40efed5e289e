/** A status below 400 that no registry gives to what was asked. */
import type { Reply } from './endpoint.ts'
import { failureOf } from './transport/failure.ts'
import { discard } from './transport/transport.ts'
import type { UpstreamError } from './upstream-error.ts'

export function refusalFor(reply: Reply): UpstreamError {
  const { subject, status } = reply
  discard(reply)
  const message = `${subject.upstream} answered ${status} to ${subject.text}, which was not expected`
  return failureOf(subject, 'corrupt', message, { upstreamStatus: status })
}
