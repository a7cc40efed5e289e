/** What is told of a request when it is over: one log line, and the metrics. */

import { leasesPath } from '../cluster/owner/lease.ts'
import type { Lines } from '../observe/lines.ts'
import type { Logger } from '../observe/log.ts'
import type { Metrics, Outcome } from '../observe/metrics.ts'
import type { Exchange, Facts } from './exchange.ts'
import { tellRefusal } from './gate/audit.ts'
import { pageAt } from './pages.ts'

export interface Witness {
  readonly log: Logger
  readonly metrics: Metrics
  readonly lines: Lines
  /** Told who asked; undefined: nobody knows. */
  readonly ended?: (user: string | undefined) => void
}

/** Tells of the exchange once its response is over, however it ended. What is passed on is told of where the client is. */
export function watch(exchange: Exchange, witness: Witness, isPassedOn = false): void {
  if (exchange.inward) return
  exchange.response.once('close', () => {
    if (isPassedOn && !exchange.facts.isForged) return
    const seconds = (performance.now() - exchange.startedAt) / 1000
    count(exchange, seconds, witness.metrics)
    witness.ended?.(userOf(exchange.facts))
    write(exchange, seconds, witness)
  })
}

/** Who asked, and not who somebody pretended to be: that would be counted against them. */
function userOf({ user, audit }: Facts): string | undefined {
  return audit?.event === 'login-failed' ? undefined : user
}

function count({ facts, response }: Exchange, seconds: number, metrics: Metrics): void {
  const { kind, write: operation, upstream, sentBytes } = facts
  if (operation !== undefined) metrics.writes.inc({ operation, status: String(response.statusCode) })
  if (kind === undefined) return
  const labels = { upstream: upstream ?? '', kind, outcome: outcomeOf(facts) }
  metrics.requests.inc({ ...labels, status: String(response.statusCode) })
  metrics.requestSeconds.observe(labels, seconds)
  metrics.responseBytes.inc(labels, sentBytes)
}

function outcomeOf({ provenance }: Facts): Outcome {
  return provenance?.outcome ?? 'error'
}

function write(exchange: Exchange, seconds: number, { log, lines }: Witness): void {
  const { facts, request, response, path, client, requestId } = exchange
  const line = {
    method: request.method,
    path,
    status: response.statusCode,
    bytes: facts.sentBytes,
    ms: Math.round(seconds * 1e6) / 1e3,
    upstream: facts.upstream,
    repository: facts.repository,
    reference: facts.reference,
    digest: facts.digest,
    cache: facts.kind && outcomeOf(facts),
    client,
    user: facts.user,
    agent: request.headers['user-agent'],
    requestId,
    ...(response.writableFinished ? {} : { aborted: true }),
  }
  tellRefusal(exchange, log)
  const isRoutine = pageAt(path) !== undefined || path === leasesPath // asked all the time, by nobody who wants to read of it
  if (facts.error === undefined && isRoutine) log.debug(line, 'request')
  else if (facts.error === undefined) lines.info(line, 'request')
  else if (response.statusCode >= 500) log.warn({ ...line, error: reason(facts.error) }, 'request')
  else log.info({ ...line, error: reason(facts.error) }, 'request')
}

export function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? `${error.message} (${error.cause.message})` : error.message
}
