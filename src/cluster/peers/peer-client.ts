/** One signed request to another replica, its answer, and what it means that there is none. */
import { Agent, type Dispatcher } from 'undici'
import type { Metrics } from '../../observe/metrics.ts'
import type { Lookup } from '../../runtime/lookup.ts'
import { version } from '../../runtime/version.ts'
import { createAddressRule, guardedLookup } from '../../upstream/transport/address.ts'
import { timeOuts } from '../../upstream/transport/time-outs.ts'
import { watch } from '../../upstream/transport/watch.ts'
import { failureHeader, failureIn } from '../failures.ts'
import { PeerError } from './peer-error.ts'
import { type Signatures, signatureHeader } from './signature.ts'

/** Nothing comes from another replica for so long: it is asked anew, if it still is the one to ask. */
export const silenceMs = 5_000
const connectMs = 2_000
/** Of an answer in words: about a manifest, or a failure. */
const maxTextBytes = 64 * 1024
const maxConnections = 256

export interface PeerClientDeps {
  readonly signatures: Signatures
  /** PEM; undefined: what Node trusts. */
  readonly ca: string | undefined
  readonly lookup: Lookup
  readonly metrics: Metrics
}

export type Reply = Dispatcher.ResponseData

export interface Asked {
  readonly method?: 'GET' | 'HEAD'
  readonly path: string
  readonly signal: AbortSignal | undefined
  readonly silenceMs?: number
}

export class PeerClient {
  readonly #deps: PeerClientDeps
  readonly #agent: Agent

  constructor(deps: PeerClientDeps) {
    this.#deps = deps
    this.#agent = new Agent({
      connections: maxConnections,
      connect: {
        timeout: connectMs,
        lookup: guardedLookup(deps.lookup, 'own', createAddressRule([])),
        ...(deps.ca === undefined ? {} : { ca: deps.ca }),
      },
    })
  }

  /** Rejects with a PeerError, an UpstreamError that the other replica tells of, or the signal's reason. */
  async ask(peer: string, asked: Asked): Promise<Reply> {
    const { method = 'GET', path, signal } = asked
    const { signatures, metrics } = this.#deps
    const timeoutMs = asked.silenceMs ?? silenceMs
    const count = (bytes: number) => metrics.peerBytes.inc(bytes)
    let reply: Reply
    try {
      const named = (error: Error) => unanswered(peer, error)
      reply = await this.#agent.compose(watch({ named, count })).request({
        origin: peer,
        path,
        method,
        headers: {
          'user-agent': `layover/${version}`,
          [signatureHeader]: signatures.sign(peer, { method, path, speaksFor: '' }),
        },
        headersTimeout: timeoutMs,
        bodyTimeout: timeoutMs,
        ...(signal ? { signal } : {}),
      })
    } catch (error) {
      signal?.throwIfAborted()
      throw unanswered(peer, error)
    }
    reply.body.on('error', () => {}) // destroying a body is an error to undici, and not one for the process
    if (reply.statusCode === 200) return reply
    throw await refusal(peer, reply)
  }

  close(): Promise<void> {
    return this.#agent.destroy()
  }
}

export async function nonsense(peer: string, { body }: Reply): Promise<PeerError> {
  await body.dump()
  return new PeerError('refused', `${peer} does not answer as a replica does`)
}

export function numberIn({ headers }: Reply, name: string): number | undefined {
  const text = String(headers[name] ?? '')
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

export async function textOf(reply: Reply): Promise<string> {
  return (await bytesOf(reply, maxTextBytes)).toString('utf8')
}

export async function bytesOf({ body }: Reply, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > maxBytes) throw new Error(`more than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

async function refusal(peer: string, reply: Reply): Promise<Error> {
  const { statusCode, headers } = reply
  if (headers[failureHeader] !== undefined) {
    const told = failureIn(await textOf(reply).catch(() => ''))
    if (told) return told
  }
  await reply.body.dump()
  if (statusCode === 404) return new PeerError('absent', `${peer} does not have it`)
  const failure = statusCode >= 500 ? 'broken' : 'refused'
  const reason = statusCode === 403 ? ': is the secret the same everywhere, and are the clocks right?' : ''
  return new PeerError(failure, `${peer} answered ${statusCode}${reason}`)
}

function unanswered(peer: string, cause: unknown): PeerError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  if (code === 'ECONNREFUSED') return new PeerError('dead', `${peer} is not there`, { cause })
  if (timeOuts.includes(code)) return new PeerError('silent', `nothing comes from ${peer}`, { cause })
  return new PeerError('broken', `${peer} cannot be asked: ${code || String(cause)}`, { cause })
}
