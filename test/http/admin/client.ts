/** A client of the admin API that shows what was answered, over the socket or the address. */
import { once } from 'node:events'
import { type IncomingMessage, type RequestOptions, request } from 'node:http'
import { text } from 'node:stream/consumers'
import type { TestLayover } from '../../support/layover.ts'

export interface AdminAsk {
  method?: string
  query?: Record<string, string>
  body?: unknown
  headers?: Record<string, string>
}

export interface AdminAnswer {
  status: number
  headers: IncomingMessage['headers']
  body: unknown
}

export interface AdminFailure {
  error: { code: string; message: string } & Record<string, unknown>
}

/** @param path below `/api/v1` */
export function askSocket(
  layover: Pick<TestLayover, 'admin'>,
  path: string,
  asked?: AdminAsk,
): Promise<AdminAnswer> {
  return send({ socketPath: layover.admin?.socket }, path, { headers: { host: 'localhost' }, ...asked })
}

export function askAddress(
  layover: Pick<TestLayover, 'admin'>,
  path: string,
  asked?: AdminAsk,
): Promise<AdminAnswer> {
  return send(layover.admin?.address ?? {}, path, asked)
}

async function send(
  where: Pick<RequestOptions, 'socketPath' | 'host' | 'port'>,
  path: string,
  { method = 'GET', query = {}, body, headers = {} }: AdminAsk = {},
): Promise<AdminAnswer> {
  const search = new URLSearchParams(query).toString()
  const type = body === undefined ? {} : { 'content-type': 'application/json' }
  const outgoing = request({
    ...where,
    method,
    path: `/api/v1${path}${search && '?'}${search}`,
    headers: { ...type, ...headers },
    agent: false,
  })
  outgoing.on('error', () => {}) // before the answer `once` rejects
  outgoing.end(typeof body === 'string' || body === undefined ? body : JSON.stringify(body))
  const [reply] = (await once(outgoing, 'response')) as [IncomingMessage]
  const answer = await text(reply)
  return { status: reply.statusCode ?? 0, headers: reply.headers, body: JSON.parse(answer) as unknown }
}

export function failureOf({ status, body }: AdminAnswer): [status: number, code: string] {
  return [status, (body as AdminFailure).error.code]
}
