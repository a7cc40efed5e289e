/** The audit: a line for each push, delete, failed login and denial, whatever the level of the log. */
import type { Logger } from '../observe/log.ts'
import type { Exchange } from './exchange.ts'

type Event = 'push' | 'delete' | 'login-failed' | 'denied'

/** Said once the answer is over, by the process that has the client. */
export function tellAudit(exchange: Exchange, log: Logger): void {
  const { facts, request, response, client, requestId } = exchange
  const event = facts.audit?.event ?? written(exchange)
  if (event === undefined) return
  const { user, upstream, repository, reference, digest, audit } = facts
  const about = { upstream, repository, reference, digest }
  const line = {
    audit: event,
    user,
    client,
    method: request.method,
    ...about,
    status: response.statusCode,
    reason: audit?.reason,
    requestId,
  }
  auditLog(log).info(line, 'audit')
}

/** What a write has changed; a session that goes on has changed nothing yet. */
function written({ facts: { write }, request, response }: Exchange): Event | undefined {
  const { statusCode: status } = response
  if (write === 'delete' && status === 202) return 'delete'
  return write !== undefined && status === 201 && request.method !== 'GET' ? 'push' : undefined
}

const children = new WeakMap<Logger, Logger>()

function auditLog(log: Logger): Logger {
  const known = children.get(log)
  if (known) return known
  const child = log.child({}, { level: 'info' })
  children.set(log, child)
  return child
}
