/** Requests of a soak's clients, each checked as it comes: right bytes, or it is told. */
import { createHash } from 'node:crypto'
import { Agent, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import { Content, type ContentSpec, MiB } from '../content.ts'
import type { Random } from '../eviction/random.ts'
import { sha256 } from './catalogue.ts'
import type { Tally } from './tally.ts'

/** Nothing that is asked here should take longer; what does has failed. */
const longestMs = 120_000

export interface AskerOptions {
  readonly url: string
  readonly random: Random
  readonly tally: () => Tally
  readonly stopped: AbortSignal
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

interface Asking {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Buffer | Content
}

export class Asker {
  readonly random: Random
  readonly stopped: AbortSignal
  readonly #url: string
  readonly #tally: () => Tally
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 4 })

  constructor({ url, random, tally, stopped }: AskerOptions) {
    this.#url = url
    this.random = random
    this.#tally = tally
    this.stopped = stopped
  }

  get tally(): Tally {
    return this.#tally()
  }

  /** The whole answer if its status is expected; else undefined, and told. */
  async ask(path: string, expected: readonly number[], asking: Asking = {}): Promise<Answer | undefined> {
    const what = `${asking.method ?? 'GET'} ${kindOf(path)}`
    try {
      const message = await this.open(path, asking)
      const { statusCode: status = 0, headers } = message
      const body = Buffer.concat(await message.toArray())
      if (expected.includes(status)) return { status, headers, body }
      this.failed(`${what}: ${status} ${codeOf(body)}`)
    } catch (error) {
      this.broken(what, error)
    }
    return undefined
  }

  /** The manifest, if it is what its digest says. */
  async manifest(repository: string, reference: string): Promise<Answer | undefined> {
    const answer = await this.ask(`/v2/${repository}/manifests/${reference}`, [200])
    if (!answer) return undefined
    const digest = sha256(answer.body)
    this.tally.objects += 1
    this.tally.bytes += answer.body.length
    if (
      digest === answer.headers['docker-content-digest'] &&
      (!reference.includes(':') || reference === digest)
    )
      return answer
    this.wrong(`manifest ${repository} ${reference}: its bytes are ${digest}`)
    return undefined
  }

  /** Reads it to its end, so slowly, and checks its digest. Whether it came. */
  async blob(repository: string, digest: string, { size, gapMs = 0 }: { size: number; gapMs?: number }) {
    const what = 'GET blob'
    const hash = createHash('sha256')
    let bytes = 0
    try {
      const message = await this.open(`/v2/${repository}/blobs/${digest}`)
      const status = message.statusCode ?? 0
      if (status !== 200) return this.failed(`${what}: ${status} ${codeOf(await bodyOf(message))}`)
      for await (const chunk of message as AsyncIterable<Buffer>) {
        hash.update(chunk)
        bytes += chunk.length
        this.tally.bytes += chunk.length
        if (gapMs > 0) await pause(gapMs, undefined, { signal: this.stopped })
      }
    } catch (error) {
      return this.broken(what, error)
    }
    this.tally.objects += 1
    const found = `sha256:${hash.digest('hex')}`
    if (found !== digest || bytes !== size)
      this.wrong(`blob ${digest}: ${bytes} bytes of ${size} came, which are ${found}`)
  }

  async range(repository: string, digest: string, spec: ContentSpec): Promise<void> {
    const first = this.random.integer(0, spec.size - 1)
    const last = this.random.integer(first, Math.min(spec.size - 1, first + 2 * MiB))
    const headers = { range: `bytes=${first}-${last}` }
    const answer = await this.ask(`/v2/${repository}/blobs/${digest}`, [206], { headers })
    if (!answer) return
    this.tally.objects += 1
    this.tally.bytes += answer.body.length
    const isRight = answer.body.length === last - first + 1 && new Content(spec).matches(first, answer.body)
    if (!isRight) this.wrong(`blob ${digest}, ${headers.range}: other bytes came`)
  }

  /** Takes some bytes, then none for a while, and leaves. */
  async leave(repository: string, digest: string, { bytes, idleMs = 0 }: { bytes: number; idleMs?: number }) {
    try {
      const message = await this.open(`/v2/${repository}/blobs/${digest}`, {}, new Agent())
      let taken = 0
      for await (const chunk of message.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
        taken += chunk.length
        if (taken >= bytes) break
      }
      this.tally.bytes += taken
      if (idleMs > 0) await pause(idleMs, undefined, { signal: this.stopped }).catch(() => {}) // the end leaves too
      message.destroy()
    } catch (error) {
      this.broken('GET blob', error)
    }
  }

  failed(reason: string): void {
    if (this.stopped.aborted) return
    this.tally.failed.set(reason, (this.tally.failed.get(reason) ?? 0) + 1)
  }

  wrong(what: string): void {
    this.tally.wrong.push(what)
  }

  /** Resolves at the headers. */
  open(path: string, { method = 'GET', headers = {}, body }: Asking = {}, agent = this.#agent) {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
    const length = body ? { 'content-length': String(Buffer.isBuffer(body) ? body.length : body.size) } : {}
    const signal = AbortSignal.any([this.stopped, AbortSignal.timeout(longestMs)])
    const outgoing = request(new URL(path, this.#url), {
      method,
      headers: { ...length, ...headers },
      agent,
      signal,
    })
    outgoing.on('response', resolve).on('error', reject)
    if (body instanceof Content)
      for (let at = 0; at < body.size; ) {
        const chunk = body.at(at, MiB)
        outgoing.write(chunk)
        at += chunk.length
      }
    outgoing.end(Buffer.isBuffer(body) ? body : undefined)
    return promise
  }

  broken(what: string, error: unknown): void {
    const { code, name } = error as { code?: string; name?: string }
    this.failed(`${what}: ${code ?? name}`)
  }

  close(): void {
    this.#agent.destroy()
  }
}

async function bodyOf(message: IncomingMessage): Promise<Buffer> {
  return Buffer.concat(await message.toArray())
}

function kindOf(path: string): string {
  return /\/(blobs\/uploads|blobs|manifests|tags|referrers|_catalog)/.exec(path)?.[1] ?? path
}

function codeOf(body: Buffer): string {
  return /"code":"([A-Z_]+)","message":"([^"]{0,80})/.exec(body.toString())?.slice(1).join(' ') ?? ''
}
