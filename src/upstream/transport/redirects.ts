/** Redirects by hand: what may go along to the next host, and which next hosts there may be. */
import { failureOf } from './failure.ts'
import { discard, type HttpAnswer, type HttpRequest, headerOf, type Transport } from './transport.ts'

/** registry.k8s.io needs two and Google's registry one more. */
const maxHops = 5
const statuses = new Set([301, 302, 303, 307, 308])

export type RedirectRule = 'follow' | 'same-origin' | 'none'

export function isRedirect(status: number): boolean {
  return statuses.has(status)
}

/**
 * The answer at the end of the redirects that the rule lets us follow. `Authorization` stays with the first origin,
 * and does not come back to it after a detour. A target is never remembered: it is signed, and soon expires.
 */
export async function sendFollowing(
  transport: Transport,
  request: HttpRequest,
  rule: RedirectRule,
): Promise<HttpAnswer> {
  const { origin } = request.url
  for (let hop = 0; ; hop++) {
    const answer = await transport.send(request)
    if (rule === 'none' || !isRedirect(answer.status)) return answer
    const url = targetOf(request, answer)
    if (rule === 'same-origin' && url.origin !== origin) return answer
    discard(answer)
    if (hop === maxHops) throw refusal(request, answer, `after ${maxHops} other redirects`)
    const headers = url.origin === origin ? request.headers : withoutSecrets(request.headers)
    request = { ...request, url, headers }
  }
}

function targetOf(request: HttpRequest, answer: HttpAnswer): URL {
  const location = headerOf(answer, 'location') ?? ''
  if (location === '' || !URL.canParse(location, request.url)) {
    discard(answer)
    throw refusal(request, answer, 'without a usable Location')
  }
  const url = new URL(location, request.url)
  const safe = url.protocol === 'https:' || (url.protocol === 'http:' && request.url.protocol === 'http:')
  if (!safe) {
    discard(answer)
    throw refusal(request, answer, `from ${request.url.protocol} to ${url.protocol}`)
  }
  url.username = ''
  url.password = ''
  url.hash = ''
  return url
}

function withoutSecrets(headers: HttpRequest['headers']): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => name !== 'authorization'))
}

function refusal({ subject }: HttpRequest, { status }: HttpAnswer, why: string) {
  const message = `${subject.upstream} answered ${status} to ${subject.text}, a redirect ${why}`
  return failureOf(subject, 'corrupt', message, { upstreamStatus: status })
}
