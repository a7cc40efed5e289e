/** Layover with local namespaces alone, and a client that can be as odd as HTTP allows; what holds for every answer is checked on every answer. */
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { expect, vi } from 'vitest'
import { digestOf } from '../../../src/oci/digest.ts'
import { FakeClock } from '../../fake/clock.ts'
import type { StoredManifest } from '../../fake/content.ts'
import { startTestLayover } from '../../support/layover.ts'
import type { Answered } from '../scene.ts'

type Setting = Partial<Omit<Parameters<typeof startTestLayover>[0], 'upstreams' | 'clock' | 'lookup'>>

export type PushScene = Awaited<ReturnType<typeof pushScene>>

/** The repository that most tests push to. */
export const name = 'local/team/app'

/** The distribution specification's table of codes, and the one of ours that a push may meet. */
const codes = new Set([
  'BLOB_UNKNOWN',
  'BLOB_UPLOAD_INVALID',
  'BLOB_UPLOAD_UNKNOWN',
  'DIGEST_INVALID',
  'MANIFEST_BLOB_UNKNOWN',
  'MANIFEST_INVALID',
  'MANIFEST_UNKNOWN',
  'NAME_INVALID',
  'NAME_UNKNOWN',
  'SIZE_INVALID',
  'UNAUTHORIZED',
  'DENIED',
  'UNSUPPORTED',
  'TOOMANYREQUESTS',
  'TAG_IMMUTABLE',
])

/** Nobody is to be asked for anything. */
const noLookup = () => Promise.reject(new Error('a push asks no upstream'))

export async function pushScene(setting: Setting = {}) {
  const clock = new FakeClock(Date.now()) // files carry the real time
  const layover = await startTestLayover({ ...setting, upstreams: [], clock, lookup: noLookup })
  const at = {
    layover,
    clock,
    ask: (path: string, sending?: Sending) => send(layover.url, path, sending),
    begin: (path: string, sending?: Sending) => begin(layover.url, path, sending),
    /** The `Location` of a new session. */
    async start(query = '', repository = name): Promise<string> {
      const answer = await at.ask(`/v2/${repository}/blobs/uploads/${query}`, { method: 'POST' })
      expect(answer.status, answer.body.toString()).toBe(202)
      return locationOf(answer)
    },
    patch: (location: string, body: Payload, headers: Record<string, string> = {}) =>
      at.ask(location, { method: 'PATCH', headers, body }),
    /** The PUT that ends a session. */
    close: (location: string, digest: string, body?: Payload, headers: Record<string, string> = {}) =>
      at.ask(withQuery(location, { digest }), { method: 'PUT', headers, body }),
    /** How far the session is, and that its status says so in full. */
    async rangeOf(location: string): Promise<string | undefined> {
      const { status, headers } = await at.ask(location)
      expect(status).toBe(204)
      expect(headers).toMatchObject({
        location: expect.any(String),
        'docker-upload-uuid': expect.any(String),
      })
      return headers.range
    },
    /** In one request; the digest. */
    async push(body: Buffer, repository = name): Promise<string> {
      const digest = digestOf(body)
      const path = `/v2/${repository}/blobs/uploads/?digest=${digest}`
      expect((await at.ask(path, { method: 'POST', body })).status).toBe(201)
      return digest
    },
    put: (manifest: StoredManifest, reference: string = manifest.digest, repository = name) =>
      at.ask(`/v2/${repository}/manifests/${reference}`, {
        method: 'PUT',
        headers: { 'content-type': manifest.mediaType },
        body: manifest.body,
      }),
    /** Status and code of an error. */
    failure: (answer: Answered) => [
      answer.status,
      errorsOf(answer)
        .map(({ code }) => code)
        .join(),
    ],
    /** Sessions on disk. */
    sessions: () => readdir(join(layover.storePath, 'uploads')),
    /** Resolves when none is left on disk: a closed session is removed behind its answer. */
    async untilNoSessions(): Promise<void> {
      await vi.waitFor(async () => expect(await at.sessions()).toEqual([]), { timeout: 10_000, interval: 5 })
    },
    /** Resolves when nobody holds the session any more; its `Range`. */
    async untilFree(location: string): Promise<string | undefined> {
      return vi.waitFor(
        async () => {
          const { status, headers } = await at.patch(location, Buffer.alloc(0))
          expect(status).toBe(202)
          return headers.range
        },
        { timeout: 10_000, interval: 5 },
      )
    },
    async untilRange(location: string, range: string): Promise<void> {
      await vi.waitFor(async () => expect(await at.rangeOf(location)).toBe(range), {
        timeout: 10_000,
        interval: 5,
      })
    },
    [Symbol.asyncDispose]: () => layover[Symbol.asyncDispose](),
  }
  return at
}

/** A buffer goes with its Content-Length, a list chunk by chunk without one. */
export type Payload = Buffer | readonly Buffer[]

export interface Sending {
  method?: string
  /** Replaces what would be sent of itself, `Host` and `Content-Length` included. */
  headers?: Record<string, string>
  body?: Payload | undefined
}

/** A whole request. Paths are sent as they are. */
export async function send(base: string, path: string, sending: Sending = {}): Promise<Answered> {
  const outgoing = begin(base, path, { ...sending, headers: { ...framing(sending), ...sending.headers } })
  const { body = [] } = sending
  for (const chunk of Buffer.isBuffer(body) ? [body] : body) outgoing.write(chunk)
  return outgoing.end()
}

/** Bytes as no client library sends them; all that comes back until the server ends the connection. */
export async function sendRaw(base: string, bytes: string | Buffer): Promise<string> {
  const { hostname, port } = new URL(base)
  const socket = connect(Number(port), hostname)
  socket.write(bytes)
  return text(socket)
}

function framing({ method = 'GET', body }: Sending): Record<string, string> {
  if (Buffer.isBuffer(body)) return { 'content-length': String(body.length) }
  if (body !== undefined) return { 'transfer-encoding': 'chunked' }
  return method === 'GET' || method === 'HEAD' || method === 'DELETE' ? {} : { 'content-length': '0' }
}

/** A request whose head is sent, and whose body is the caller's to send, to leave unfinished or to cut. */
export interface Outgoing {
  write(bytes: Buffer): void
  /** Ends the body and waits for the answer. */
  end(): Promise<Answered>
  /** Waits for the answer, whether or not the body has ended. */
  answer(): Promise<Answered>
  /** Resolves when the server said `100 Continue`, or with what it answered instead. */
  continued(): Promise<'continue' | Answered>
  /** As if the client had died. */
  cut(): void
}

export function begin(base: string, path: string, { method = 'GET', headers = {} }: Sending = {}): Outgoing {
  const { hostname, port } = new URL(base)
  const outgoing = request({ hostname, port, path, method, headers, agent: false })
  outgoing.on('error', () => {}) // a server that answers early may stop reading; before the answer `once` rejects
  outgoing.flushHeaders()
  const answered = once(outgoing, 'response').then(([reply]) => read(reply as IncomingMessage, method))
  answered.catch(() => {}) // for who cuts and does not ask
  return {
    write: bytes => void (bytes.length > 0 && outgoing.write(bytes)),
    end() {
      outgoing.end()
      return answered
    },
    answer: () => answered,
    continued: () => Promise.race([continued(outgoing), answered]),
    cut: () => void outgoing.destroy(),
  }
}

async function continued(outgoing: ClientRequest): Promise<'continue'> {
  await once(outgoing, 'continue')
  return 'continue'
}

async function read(reply: IncomingMessage, method: string): Promise<Answered> {
  const chunks: Buffer[] = []
  for await (const chunk of reply) chunks.push(chunk as Buffer)
  const answer = { status: reply.statusCode ?? 0, headers: reply.headers, body: Buffer.concat(chunks) }
  expectWellFormed(answer, method)
  return answer
}

/** What the specification says of each answer, whatever was asked. */
function expectWellFormed(answer: Answered, method: string): void {
  const { status, headers, body } = answer
  expect(headers['docker-distribution-api-version']).toBe('registry/2.0')
  expect(headers['transfer-encoding']).toBeUndefined()
  expect(headers['content-encoding']).toBeUndefined()
  if (status === 204) expect(headers['content-length']).toBeUndefined()
  else if (method !== 'HEAD') expect(headers['content-length']).toBe(String(body.length))
  if (status === 405) expect(headers.allow).toMatch(/^[A-Z]+(, [A-Z]+)*$/)
  if (status === 429) expect(headers['retry-after']).toMatch(/^[1-9]\d*$/)
  if (method === 'HEAD') expect(body).toHaveLength(0)
  else if (status >= 400 && status < 500) errorsOf(answer)
}

export interface PushError {
  code: string
  message: string
  detail?: unknown
}

/** The errors of an answer, in the specification's form and with its codes. */
export function errorsOf({ headers, body }: Answered): PushError[] {
  expect(headers['content-type'], body.toString()).toBe('application/json')
  const { errors } = JSON.parse(body.toString()) as { errors: PushError[] }
  expect(errors.length).toBeGreaterThan(0)
  for (const { code, message } of errors)
    expect([code, codes.has(code), message !== '']).toEqual([code, true, true])
  return errors
}

export function locationOf({ headers }: Answered): string {
  const { location = '' } = headers
  expect(location).toMatch(/^\//)
  return location
}

/** As clients do it: what the server put into the query stays. */
export function withQuery(location: string, added: Record<string, string>): string {
  const url = new URL(location, 'http://client')
  for (const [key, value] of Object.entries(added)) url.searchParams.set(key, value)
  return url.pathname + url.search
}

/** Bytes that are different everywhere, so that nothing misplaced passes for what is right. */
export function bytes(size: number, seed = 0): Buffer {
  const made = Buffer.alloc(size)
  let state = (seed + 1) * 2_654_435_761
  for (let at = 0; at < size; at += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    made[at] = state >>> 24
  }
  return made
}
