/** What this replica asks of the others, over HTTP: signed, and never waited for longer than nothing comes. */
import { Agent, type Dispatcher } from 'undici'
import type { Logger } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { Digest } from '../oci/digest.ts'
import { algorithmOf, digestOf, isDigest } from '../oci/digest.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Lookup } from '../runtime/lookup.ts'
import { version } from '../runtime/version.ts'
import { createAddressRule, guardedLookup } from '../upstream/address.ts'
import type { BlobBody, FetchedManifest, ManifestHead } from '../upstream/upstream.ts'
import { watch } from '../upstream/watch.ts'
import { failureHeader, failureIn } from './failures.ts'
import { PeerError } from './peer-error.ts'
import { type Signatures, signatureHeader } from './signature.ts'

/** Below it replicas answer each other, and nobody else. */
export const replicaPath = '/_replica/'

/** Of answers with bytes: what their asker cannot know. */
export const peerHeaders = {
  /** Position of the first byte. */
  first: 'replica-first',
  /** Bytes of the whole. */
  size: 'replica-size',
  /** `1`: the bytes came without a credential. */
  anonymous: 'replica-anonymous',
  /** `1`: upstream gave them for the scope that was asked with. */
  entitled: 'replica-entitled',
} as const

/** Nothing comes from another replica for so long: it is asked anew, if it still is the one to ask. */
export const silenceMs = 5_000
const connectMs = 2_000
/** How long it is looked who has a blob, whatever happens. */
const lookMs = 250
/** So many replicas are asked whether they have a blob. */
const maxAsked = 16
/** How long one that gave wrong bytes is not asked for any. */
const distrustMs = 600_000
/** Of an answer that tells of a failure. */
const maxFailureBytes = 64 * 1024
const maxConnections = 256

export interface PeersDeps {
  readonly signatures: Signatures
  /** PEM; undefined: what Node trusts. */
  readonly ca: string | undefined
  readonly clock: Clock
  readonly lookup: Lookup
  readonly log: Logger
  readonly metrics: Metrics
}

export interface PeerBlob extends BlobBody {
  /** Upstream gave it for the scope that was asked with. */
  readonly isEntitled: boolean
}

export interface BlobQuestion {
  readonly first: number
  /** For whom: see `scopeOf`. */
  readonly scope: string
  /** Of a blob that is all there: one that is fetching it might be fetching it from us. */
  readonly isWhole: boolean
  readonly signal: AbortSignal
}

export interface ManifestQuestion {
  readonly registry: string
  readonly repository: string
  /** Tag or digest. */
  readonly reference: string
  /** Asked here and there with the same credential, it is the same question. */
  readonly scope: string
}

/** Every method rejects with a PeerError, an UpstreamError that the other replica tells of, or the signal's reason. */
export class Peers {
  readonly #deps: PeersDeps
  readonly #agent: Agent
  /** Until when, by the monotonic clock. */
  readonly #distrusted = new Map<string, number>()

  constructor(deps: PeersDeps) {
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

  /** Bytes from `first` on, of what the replica has or is fetching; it fetches nothing for us. */
  async openBlob(peer: string, digest: Digest, question: BlobQuestion): Promise<PeerBlob> {
    const { signal } = question
    const reply = await this.#ask(peer, { path: blobPath(digest, question), signal })
    const from = numberIn(reply, peerHeaders.first)
    if (from === undefined) throw await nonsense(peer, reply)
    return {
      first: from,
      total: numberIn(reply, peerHeaders.size),
      length: numberIn(reply, 'content-length'),
      etag: undefined,
      anonymous: reply.headers[peerHeaders.anonymous] === '1',
      isEntitled: reply.headers[peerHeaders.entitled] === '1',
      body: reply.body,
    }
  }

  /** Whoever of these has the whole blob, the quickest to say so. Undefined: nobody said so in time. Never rejects. */
  async holderOf(digest: Digest, peers: readonly string[]): Promise<string | undefined> {
    const asked = peers.filter(peer => this.trusts(peer)).slice(0, maxAsked)
    if (asked.length === 0) return undefined
    const done = new AbortController()
    const signal = AbortSignal.any([done.signal, AbortSignal.timeout(lookMs)])
    try {
      return await Promise.any(asked.map(peer => this.#has(peer, digest, signal)))
    } catch {
      return undefined // all said no, or nothing
    } finally {
      done.abort()
    }
  }

  headManifest(peer: string, question: ManifestQuestion, limits: AskLimits): Promise<ManifestHead> {
    return this.#manifest(peer, question, { ...limits, ask: 'head' }, async reply => {
      const { digest, mediaType, size } = JSON.parse(await textOf(reply, maxFailureBytes)) as ManifestHead
      return { digest, mediaType, size }
    })
  }

  /** The body is checked against its digest. */
  getManifest(
    peer: string,
    question: ManifestQuestion,
    limits: AskLimits & { maxBytes: number; wanted: Digest | undefined },
  ): Promise<FetchedManifest> {
    return this.#manifest(peer, question, { ...limits, ask: 'get' }, async reply => {
      const digest = String(reply.headers['docker-content-digest'])
      if (!isDigest(digest)) throw await nonsense(peer, reply)
      const mediaType = String(reply.headers['content-type'])
      const anonymous = reply.headers[peerHeaders.anonymous] === '1'
      const body = await bytesOf(reply, limits.maxBytes)
      if (digest !== (limits.wanted ?? digest)) throw this.#lie(peer, limits.wanted ?? digest)
      this.#assertRight(peer, digest, body)
      return { body, digest, mediaType, anonymous }
    })
  }

  /** A small blob, whole and checked. Undefined: not so many bytes, or not in time. Never rejects. */
  async readBlob(peer: string, digest: Digest, size: number): Promise<Buffer | undefined> {
    try {
      const path = blobPath(digest, { first: 0, scope: '', isWhole: true })
      const body = await bytesOf(
        await this.#ask(peer, { path, signal: AbortSignal.timeout(silenceMs) }),
        size,
      )
      this.#assertRight(peer, digest, body)
      return body
    } catch {
      return undefined // it is to be had elsewhere
    }
  }

  /** It gave wrong bytes. */
  distrust(peer: string): void {
    const { clock, log } = this.#deps
    this.#distrusted.set(peer, clock.monotonic() + distrustMs)
    log.error({ replica: peer }, 'another replica gave wrong bytes: it is asked for none for ten minutes')
  }

  trusts(peer: string): boolean {
    return (this.#distrusted.get(peer) ?? 0) <= this.#deps.clock.monotonic()
  }

  close(): Promise<void> {
    return this.#agent.destroy()
  }

  #assertRight(peer: string, digest: Digest, body: Buffer): void {
    if (digestOf(body, algorithmOf(digest)) !== digest) throw this.#lie(peer, digest)
  }

  #lie(peer: string, digest: Digest): PeerError {
    this.distrust(peer)
    return new PeerError('refused', `${peer} gave bytes that do not have the digest ${digest}`)
  }

  async #has(peer: string, digest: Digest, signal: AbortSignal): Promise<string> {
    const { body } = await this.#ask(peer, {
      method: 'HEAD',
      path: `${replicaPath}blobs/${digest}`,
      signal,
    })
    await body.dump()
    return peer
  }

  async #manifest<T>(
    peer: string,
    { registry, repository, reference, scope }: ManifestQuestion,
    { ask, withinMs, signal }: AskLimits & { ask: 'head' | 'get' },
    read: (reply: Dispatcher.ResponseData) => Promise<T>,
  ): Promise<T> {
    const query = new URLSearchParams({ registry, repository, reference, scope, ask })
    const path = `${replicaPath}manifests?${query.toString()}`
    const reply = await this.#ask(peer, { path, signal, silenceMs: Math.min(withinMs, silenceMs) })
    try {
      return await read(reply)
    } catch (cause) {
      signal?.throwIfAborted()
      throw cause instanceof PeerError ? cause : new PeerError('broken', `${peer} broke off`, { cause })
    }
  }

  async #ask(peer: string, asked: Asked): Promise<Dispatcher.ResponseData> {
    const { method = 'GET', path, signal } = asked
    const { signatures, metrics } = this.#deps
    const timeoutMs = asked.silenceMs ?? silenceMs
    const count = (bytes: number) => metrics.peerBytes.inc(bytes)
    let reply: Dispatcher.ResponseData
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
}

export interface AskLimits {
  /** How long nothing may come. */
  readonly withinMs: number
  readonly signal?: AbortSignal
}

interface Asked {
  readonly method?: 'GET' | 'HEAD'
  readonly path: string
  readonly signal: AbortSignal | undefined
  readonly silenceMs?: number
}

function blobPath(digest: Digest, { first, scope, isWhole }: Omit<BlobQuestion, 'signal'>): string {
  const query = new URLSearchParams({ from: String(first), scope, ...(isWhole ? { whole: '1' } : {}) })
  return `${replicaPath}blobs/${digest}?${query.toString()}`
}

async function refusal(peer: string, reply: Dispatcher.ResponseData): Promise<Error> {
  const { statusCode, headers } = reply
  if (headers[failureHeader] !== undefined) {
    const told = failureIn(await textOf(reply, maxFailureBytes).catch(() => ''))
    if (told) return told
  }
  await reply.body.dump()
  if (statusCode === 404) return new PeerError('absent', `${peer} does not have it`)
  const failure = statusCode >= 500 ? 'broken' : 'refused'
  const reason = statusCode === 403 ? ': is the secret the same everywhere, and are the clocks right?' : ''
  return new PeerError(failure, `${peer} answered ${statusCode}${reason}`)
}

async function nonsense(peer: string, { body }: Dispatcher.ResponseData): Promise<PeerError> {
  await body.dump()
  return new PeerError('refused', `${peer} does not answer as a replica does`)
}

const silent = new Set(['UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT'])

function unanswered(peer: string, cause: unknown): PeerError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  if (code === 'ECONNREFUSED') return new PeerError('dead', `${peer} is not there`, { cause })
  if (silent.has(code)) return new PeerError('silent', `nothing comes from ${peer}`, { cause })
  return new PeerError('broken', `${peer} cannot be asked: ${code || String(cause)}`, { cause })
}

function numberIn({ headers }: Dispatcher.ResponseData, name: string): number | undefined {
  const text = String(headers[name] ?? '')
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

async function textOf(reply: Dispatcher.ResponseData, maxBytes: number): Promise<string> {
  return (await bytesOf(reply, maxBytes)).toString('utf8')
}

async function bytesOf({ body }: Dispatcher.ResponseData, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > maxBytes) throw new Error(`more than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
