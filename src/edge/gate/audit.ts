/** The audit: a line for each push, delete, failed login and denial, whatever the level of the log. */
import type { LoginRefused } from '../../access/caller.ts'
import type { Logger } from '../../observe/log.ts'
import type { Answer } from '../answer.ts'
import type { Exchange } from '../exchange.ts'

type Event = 'push' | 'delete' | 'login-failed' | 'denied'

/** A login that was refused: who it claimed to be, and why. */
export function noteRefused({ facts }: Pick<Exchange, 'facts'>, { user, message }: LoginRefused): void {
  facts.user = user || undefined
  facts.audit = { event: 'login-failed', reason: message }
}

/** What was refused. Said once the answer is over, by the process that has the client. */
export function tellRefusal(exchange: Exchange, log: Logger): void {
  const { audit } = exchange.facts
  if (audit) tell(exchange, { ...audit, status: exchange.response.statusCode }, log)
}

/**
 * What a write has changed; a session that goes on has changed nothing yet. Said by the process that carried it out, as
 * soon as it has: whether the client is still there for the answer makes no difference to what is stored.
 */
export function tellWritten(exchange: Exchange, { status }: Pick<Answer, 'status'>, log: Logger): void {
  if (exchange.facts.write === 'delete' && status === 202) tell(exchange, { event: 'delete', status }, log)
  else if (status === 201) tell(exchange, { event: 'push', status }, log)
}

interface Told {
  readonly event: Event
  readonly status: number
  readonly reason?: string
}

function tell(exchange: Exchange, { event, status, reason }: Told, log: Logger): void {
  const { facts, request, client, requestId } = exchange
  const { user, upstream, repository, reference, tags, digest } = facts
  const about = { upstream, repository, reference, tags, digest }
  const line = { audit: event, user, client, method: request.method, ...about, status, reason, requestId }
  auditLog(log).info(line, 'audit')
}

const children = new WeakMap<Logger, Logger>()

function auditLog(log: Logger): Logger {
  const known = children.get(log)
  if (known) return known
  const child = log.child({}, { level: 'info' })
  children.set(log, child)
  return child
}
