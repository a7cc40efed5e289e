/** The ways in which registries say "too many requests". */
import { type Answer, answer, html, json, ociError } from './answer.ts'

export type RateLimitForm =
  | 'hub'
  | 'hub-unauthenticated'
  /** `{"message": …}` and no error list. */
  | 'hub-message'
  /** Docker Hub's abuse limit: plain text, Retry-After, connection closed. */
  | 'hap429'
  /** The same with bare line feeds, which a strict parser refuses. */
  | 'hap429-bare-lf'
  | 'ghcr'
  | 'quay'
  | 'ecr-public-rate'
  | 'ecr-public-data'
  /** Retry-After as an HTTP date, two minutes ahead. */
  | 'http-date'
  | 'a-day'

export function rateLimited(form: RateLimitForm, nowMs: number): Answer {
  return answers[form](nowMs)
}

const answers: Record<RateLimitForm, (nowMs: number) => Answer> = {
  hub: () =>
    tooMany(
      'You have reached your pull rate limit. You may increase the limit by authenticating and upgrading: https://www.docker.com/increase-rate-limit',
    ),
  'hub-unauthenticated': () =>
    tooMany(
      'You have reached your unauthenticated pull rate limit. https://www.docker.com/increase-rate-limit',
    ),
  'hub-message': () => json(429, { message: 'toomanyrequests: You have reached your pull rate limit.' }),
  hap429: abuse,
  'hap429-bare-lf': abuse,
  ghcr: () => tooMany('retry-after: 1.16676ms, allowed: 44000/minute'),
  quay: () => html(429, '429 Too Many Requests'),
  'ecr-public-rate': () => tooMany('Rate exceeded'),
  'ecr-public-data': () => tooMany('Data limit exceeded'),
  'http-date': nowMs => tooMany('slow down', { 'retry-after': new Date(nowMs + 120_000).toUTCString() }),
  'a-day': () => tooMany('slow down', { 'retry-after': '86400' }),
}

function tooMany(message: string, headers: Answer['headers'] = {}): Answer {
  return ociError(429, 'TOOMANYREQUESTS', message, headers)
}

function abuse(): Answer {
  return answer(429, 'Too Many Requests (HAP429).\n', {
    'content-type': 'text/plain',
    'retry-after': '60',
    connection: 'close',
  })
}

/** `hap429-bare-lf` as it goes over the wire. */
export const bareLineFeeds =
  'HTTP/1.1 429 Too Many Requests\nRetry-After: 60\nConnection: close\nContent-Type: text/plain\n\nToo Many Requests (HAP429).\n'
