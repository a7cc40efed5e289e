/** One request and its answer, with what the log and the metrics will want to know of it. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { TLSSocket } from 'node:tls'
import type { Caller, CertificateNames } from '../access/caller.ts'
import type { Question } from '../access/question.ts'
import type { Session } from '../access/session.ts'
import type { Scope } from '../access/tokens/scope.ts'
import type { Kind, Write } from '../observe/metrics.ts'
import type { Provenance } from '../pull/provenance.ts'
import { certificateOf } from './gate/certificate.ts'
import { clientOf } from './gate/client-address.ts'
import type { Role } from './listener.ts'
import { nextRequestId } from './request-ids.ts'

export interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  /** Of the address that it came in at. */
  readonly role: Role
  /** Address of who asks; undefined once it is gone. */
  readonly client: string | undefined
  /** What the client showed for its connection. */
  readonly certificate: CertificateNames | undefined
  /** Who asks, once the gate let them in; undefined: nothing is configured. */
  readonly caller?: Caller | undefined
  /** What their registry token is limited to. */
  readonly access?: readonly Scope[] | undefined
  /** What they were let in for. */
  readonly question?: Question | undefined
  /** A trusted proxy passed it on, whose words of the client count (client-address.ts). */
  readonly proxied: boolean
  /** It came over TLS. */
  readonly secure: boolean
  /** It was passed on by a sibling process, which answers its client and tells of it (inward.ts). */
  readonly inward: boolean
  /** Another replica passed it on, after whom nobody else is asked (replica-origin.ts). */
  readonly fromReplica: boolean
  /** The replica that passed it on gets large blobs by itself, once it is told that it may (local-names.ts). */
  readonly fetchesBytes: boolean
  /** Path of the `publicUrl` of the replica that the client asked; undefined: ours. */
  readonly publicPath: string | undefined
  /** As the client sent it, without the query and still encoded. */
  readonly path: string
  readonly query: URLSearchParams
  readonly requestId: string
  /** `performance.now()`. */
  readonly startedAt: number
  /** What became of it, filled in on the way. */
  readonly facts: Facts
}

export interface Facts {
  /** Of a read; what is written is counted as such. */
  kind?: Kind
  write?: Write
  /** Registry of the upstream, or `local`. */
  upstream?: string | undefined
  repository?: string | undefined
  reference?: string
  digest?: string
  /** None where nothing was looked for that an upstream could have. */
  provenance?: Provenance | undefined
  /** The registry that an `ns` parameter named. */
  namespace?: string
  /** Name of who asks. */
  user?: string | undefined
  /** What was found out about who asks, for the process that has the client. */
  session?: Session
  /** What the audit is told of, beside what was written or deleted. */
  audit?: { readonly event: 'login-failed' | 'denied'; readonly reason: string }
  /** It says that a replica passed it on, and none of ours did. */
  isForged?: true
  /** The tags that a push by digest gave. */
  tags?: readonly string[]
  /** Body bytes handed to the socket. */
  sentBytes: number
  /** Why the answer is an error, or broke. */
  error?: unknown
}

/** Of the answer, whoever asks for it. */
export function factsOfAnswer(facts: Facts): Facts {
  const { user: _user, session: _session, audit: _audit, ...told } = facts
  return told
}

const noQuery = new URLSearchParams()

/** How a request came in. */
type Arrival = Pick<Exchange, 'role' | 'client' | 'proxied'>

export function openExchange(
  request: IncomingMessage,
  response: ServerResponse,
  { role = 'registry', client = clientOf(request), proxied = false }: Partial<Arrival> = {},
): Exchange {
  const url = originForm(request.url ?? '/')
  const mark = url.indexOf('?')
  return {
    request,
    response,
    role,
    client,
    proxied,
    secure: request.socket instanceof TLSSocket,
    certificate: certificateOf(request.socket),
    inward: false,
    fromReplica: false,
    fetchesBytes: false,
    publicPath: undefined,
    path: mark < 0 ? url : url.slice(0, mark),
    query: mark < 0 ? noQuery : new URLSearchParams(url.slice(mark + 1)),
    requestId: nextRequestId(),
    startedAt: performance.now(),
    facts: { sentBytes: 0 },
  }
}

/** Who takes us for a proxy sends the whole URL, which a server has to understand (RFC 9112 §3.2.2). */
function originForm(target: string): string {
  return target.startsWith('/') ? target : target.replace(/^https?:\/\/[^/?]*/i, '')
}

/** HEAD is answered as GET is, without the body. */
export function isHead({ request }: Exchange): boolean {
  return request.method === 'HEAD'
}

export function isReading({ request }: Pick<Exchange, 'request'>): boolean {
  return request.method === 'GET' || request.method === 'HEAD'
}
