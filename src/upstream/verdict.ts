/** What an answer of 400 and more means for the one who asked. */
import type { Clock } from '../runtime/clock.ts'
import type { Grant } from './auth/authorize.ts'
import { peekText } from './objects/body.ts'
import { failureOf, type Subject } from './transport/failure.ts'
import type { Budget } from './transport/rate-limit.ts'
import { retryAfterMs } from './transport/retry-after.ts'
import { discard, type HttpAnswer, headerOf } from './transport/transport.ts'
import type { UpstreamError, UpstreamFailure } from './upstream-error.ts'

export interface Circumstances {
  subject: Subject
  /** Undefined: the request was sent without any authorization. */
  grant: Grant | undefined
  /** The registry itself answered, and not a host it redirected to. */
  own: boolean
  /** A manifest GET, which limits on pulls count. */
  counted: boolean
  budget: Budget
  clock: Clock
}

/** The error for an answer that is none of those the caller wanted. Its body is used up. */
export async function refusalOf(answer: HttpAnswer, about: Circumstances): Promise<UpstreamError> {
  if (answer.status === 429) return limited(answer, about)
  const { subject, grant, clock } = about
  const { status } = answer
  discard(answer)
  const wait = headerOf(answer, 'retry-after')
  const failure = failureFor(status, about)
  const advice = adviceFor(status, about)
  return failureOf(subject, failure, `${told(answer, about)}${advice}`, {
    upstreamStatus: status,
    // A realm's token that does not reach is refused with 401 as well (RFC 6750 says 403).
    altogether: status === 401 && grant?.isCredential === true,
    ...(wait === undefined ? {} : { retryAfterMs: retryAfterMs(wait, '', clock) }),
  })
}

function failureFor(status: number, { grant, own }: Circumstances): UpstreamFailure {
  if (status < 400) return 'corrupt'
  if (status === 404 || status === 410) return 'not-found'
  if (status >= 500 || !own) return 'server-error'
  if (status === 401 && grant?.isCallersPassword) return 'credential-refused'
  if (status === 401 || status === 403) return isAnonymousToken(grant) ? 'hidden' : 'denied'
  // Harbor's policies answer 412, law 451: the name is there and not for us.
  return status === 412 || status === 451 ? 'denied' : 'server-error'
}

/** What a registry or its realm may say to a credential that was good once: ECR Public 400, ECR 403, others 401. */
export function mayBeExpiry({ failure, upstreamStatus }: UpstreamError): boolean {
  if (failure === 'denied' || failure === 'credential-refused') return true
  return failure === 'server-error' && upstreamStatus === 400
}

function isAnonymousToken(grant: Grant | undefined): boolean {
  return grant?.anonymous === true && grant.hint === undefined
}

function adviceFor(status: number, { grant, own }: Circumstances): string {
  if (!own || (status !== 401 && status !== 403)) return ''
  if (grant?.hint !== undefined) return `; ${grant.hint}`
  return grant === undefined && status === 401 ? ', without a challenge that can be answered' : ''
}

function told({ status, url }: HttpAnswer, { subject, own }: Circumstances): string {
  const who = own ? subject.upstream : `${subject.upstream}'s host ${url.host}`
  return `${who} answered ${status} to ${subject.text}`
}

/**
 * A limit on pulls stops manifest GETs only, since blobs and HEADs are free; one on requests as such, which is plain
 * text with a time, stops everything.
 */
async function limited(answer: HttpAnswer, about: Circumstances): Promise<UpstreamError> {
  const { subject, own, counted, budget, clock } = about
  const header = headerOf(answer, 'retry-after')
  const text = await peekText(answer)
  const waitMs = retryAfterMs(header, text, clock)
  const plain = (headerOf(answer, 'content-type') ?? 'text/plain').startsWith('text/plain')
  const everything = text.includes('HAP429') || (plain && header !== undefined)
  if (own && everything) budget.pause(waitMs, 'everything')
  else if (own && counted) budget.pause(waitMs, 'manifests')
  const message = `${told(answer, about)}: too many requests`
  return failureOf(subject, 'rate-limited', message, { upstreamStatus: 429, retryAfterMs: waitMs })
}
