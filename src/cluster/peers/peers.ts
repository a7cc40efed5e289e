/** What this replica asks of the others, over HTTP: signed, and never waited for longer than nothing comes. */
import type { Logger } from '../../observe/log.ts'
import type { Digest } from '../../oci/digest.ts'
import { algorithmOf, digestOf, isDigest } from '../../oci/digest.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { BlobBody, FetchedManifest, ManifestHead } from '../../upstream/upstream.ts'
import {
  bytesOf,
  nonsense,
  numberIn,
  PeerClient,
  type PeerClientDeps,
  type Reply,
  silenceMs,
  textOf,
} from './peer-client.ts'
import { PeerError } from './peer-error.ts'

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

/** How long it is looked who has a blob, whatever happens. */
const lookMs = 250
/** So many replicas are asked whether they have a blob. */
const maxAsked = 16
/** How long one that gave wrong bytes is not asked for any. */
const distrustMs = 600_000

export interface PeersDeps extends PeerClientDeps {
  readonly clock: Clock
  readonly log: Logger
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
  readonly #client: PeerClient
  /** Until when, by the monotonic clock. */
  readonly #distrusted = new Map<string, number>()

  constructor(deps: PeersDeps) {
    this.#deps = deps
    this.#client = new PeerClient(deps)
  }

  /** Bytes from `first` on, of what the replica has or is fetching; it fetches nothing for us. */
  async openBlob(peer: string, digest: Digest, question: BlobQuestion): Promise<PeerBlob> {
    const { signal } = question
    const reply = await this.#client.ask(peer, { path: blobPath(digest, question), signal })
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
      const { digest, mediaType, size } = JSON.parse(await textOf(reply)) as ManifestHead
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
        await this.#client.ask(peer, { path, signal: AbortSignal.timeout(silenceMs) }),
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
    return this.#client.close()
  }

  #assertRight(peer: string, digest: Digest, body: Buffer): void {
    if (digestOf(body, algorithmOf(digest)) !== digest) throw this.#lie(peer, digest)
  }

  #lie(peer: string, digest: Digest): PeerError {
    this.distrust(peer)
    return new PeerError('refused', `${peer} gave bytes that do not have the digest ${digest}`)
  }

  async #has(peer: string, digest: Digest, signal: AbortSignal): Promise<string> {
    const { body } = await this.#client.ask(peer, {
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
    read: (reply: Reply) => Promise<T>,
  ): Promise<T> {
    const query = new URLSearchParams({ registry, repository, reference, scope, ask })
    const path = `${replicaPath}manifests?${query.toString()}`
    const reply = await this.#client.ask(peer, { path, signal, silenceMs: Math.min(withinMs, silenceMs) })
    try {
      return await read(reply)
    } catch (cause) {
      signal?.throwIfAborted()
      throw cause instanceof PeerError ? cause : new PeerError('broken', `${peer} broke off`, { cause })
    }
  }
}

export interface AskLimits {
  /** How long nothing may come. */
  readonly withinMs: number
  readonly signal?: AbortSignal
}

function blobPath(digest: Digest, { first, scope, isWhole }: Omit<BlobQuestion, 'signal'>): string {
  const query = new URLSearchParams({ from: String(first), scope, ...(isWhole ? { whole: '1' } : {}) })
  return `${replicaPath}blobs/${digest}?${query.toString()}`
}
