/** A request handed on whole to another process of ours, and its answer relayed. */
import type { ClientRequest, IncomingMessage } from 'node:http'
import { type Answer, type Headers, noContent } from '../answer.ts'
import { type Exchange, isHead } from '../exchange.ts'
import { isPassedOn } from '../replicas/replica-origin.ts'
import { factsHeader, isOurs, readFacts, unavailable } from './sibling.ts'

/**
 * Headers between one client and us. Others that `Connection` names are passed on: what a proxy in front of us has to
 * say must not be made invisible that way.
 */
const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

export interface HandOn {
  /** Its head alone: the body is sent from here. */
  readonly inner: ClientRequest
  /** The other end says when it wants the body; nothing of it is read before. */
  readonly waits: boolean
}

/** Resolves at the head of the answer, what it tells of itself noted. Rejects with the connection's error. */
export function handOn(exchange: Exchange, { inner, waits }: HandOn): Promise<IncomingMessage> {
  const { request, response, facts } = exchange
  const leave = () => void inner.destroy()
  response.once('close', leave)
  pass(exchange, { inner, waits })
  return new Promise((resolve, reject) => {
    inner.on('error', error => {
      response.off('close', leave)
      reject(error)
    })
    inner.once('response', reply => {
      reply.once('close', () => response.off('close', leave))
      request.unpipe(inner) // whatever more the client sends, nobody is going to read
      const told = reply.headers[factsHeader]
      if (told !== undefined) Object.assign(facts, readFacts(String(told)))
      resolve(reply)
    })
  })
}

/** The body, as fast as the other end takes it; a client that waits to be asked for it is asked when the other end asks. */
function pass({ request, response }: Exchange, { inner, waits }: HandOn): void {
  const begin = () => (hasBody(request) ? request.pipe(inner) : inner.end())
  if (!waits) return void begin()
  inner.once('continue', () => {
    if (expects(request)) response.writeContinue()
    begin()
  })
}

/** Names and values in turns, as the client sent them, but for what is between it and us. */
export function passedOn({ request }: Exchange, isPrivate: (name: string) => boolean): string[] {
  const { rawHeaders } = request
  const headers: string[] = []
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const [name = '', value = ''] = rawHeaders.slice(at, at + 2)
    const lower = name.toLowerCase()
    if (hopByHop.has(lower) || lower === 'expect' || isPrivate(lower)) continue
    headers.push(name, value)
  }
  const { 'transfer-encoding': encoding } = request.headers
  if (encoding !== undefined)
    headers.push('transfer-encoding', encoding) // whether it will do, the other end says
  else if (request.headers['content-length'] === undefined) headers.push('content-length', '0')
  return headers
}

export function relayed(exchange: Exchange, reply: IncomingMessage): Answer {
  const { statusCode: status = 0, headers } = reply
  const isReplicas = isPassedOn(exchange) && !exchange.facts.isForged
  const facts = isReplicas ? headers[factsHeader] : undefined // for who asked us
  const told = facts === undefined ? {} : { [factsHeader]: String(facts) }
  const answer = { status, headers: { ...headersOf(reply), ...told } }
  if (isHead(exchange)) {
    reply.resume() // there is nothing, but for the connection to be used again its end has to be seen
    return { ...answer, content: noContent }
  }
  const length = headers['content-length']
  const relay = { body: bodyOf(reply), close: () => void reply.destroy() }
  return {
    ...answer,
    content: { kind: 'relay', relay, length: length === undefined ? undefined : Number(length) },
  }
}

async function* bodyOf(reply: IncomingMessage): AsyncGenerator<Buffer> {
  try {
    yield* reply as AsyncIterable<Buffer>
  } catch (cause) {
    throw unavailable('the answer broke off on its way here', cause)
  }
}

export function headersOf({ headers }: IncomingMessage): Headers {
  const shown = Object.entries(headers).filter(
    ([name]) => !hopByHop.has(name) && !isOurs(name) && name !== 'date',
  )
  return Object.fromEntries(shown.map(([name, value]) => [name, String(value)]))
}

export function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}

/** Whether the client waits to be asked for its body. */
export function expects({ headers, httpVersion }: IncomingMessage): boolean {
  return headers.expect !== undefined && httpVersion === '1.1'
}
