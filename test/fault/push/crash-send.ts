/** One request, by default on a connection of its own, which its port tells from all others. */
import { once } from 'node:events'
import { type Agent, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http'

export interface Sent {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  /** Of this end. */
  readonly port: number
}

export interface Sending {
  readonly method?: string
  readonly headers?: Record<string, string>
  readonly body?: Buffer
  /** For many requests that nobody has to tell apart. */
  readonly agent?: Agent
}

/** Longer than anything here may take: a request that hangs is a failure with a name. */
const silentMs = 40_000

/** Rejects when there is no answer. A body that is cut off is empty. */
export async function send(
  url: string,
  { method = 'GET', headers = {}, body, agent }: Sending = {},
): Promise<Sent> {
  const length = body === undefined ? {} : { 'content-length': String(body.length) }
  const outgoing = request(url, { method, headers: { ...length, ...headers }, agent: agent ?? false })
  outgoing.on('error', () => {}) // before the answer `once` rejects; after it there is one
  outgoing.setTimeout(silentMs, () => outgoing.destroy(new Error(`nothing came for ${silentMs} ms`)))
  outgoing.end(body)
  const [message] = (await once(outgoing, 'response')) as [IncomingMessage]
  const port = message.socket.localPort ?? 0
  const chunks: Buffer[] = []
  try {
    for await (const chunk of message) chunks.push(chunk as Buffer)
  } catch {
    chunks.length = 0
  }
  return { status: message.statusCode ?? 0, headers: message.headers, body: Buffer.concat(chunks), port }
}
