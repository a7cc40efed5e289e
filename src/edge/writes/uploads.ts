/** Pushing blobs: upload sessions, single requests and mounts (distribution-spec, end-4 to end-6, end-11, end-13 and end-14). */
import { type Algorithm, type Digest, parseDigest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import type { Chunk } from '../../push/body.ts'
import { type Progress, UploadConflict } from '../../push/progress.ts'
import { type Answer, type Headers, noContent } from '../answer.ts'
import { requestBody } from './body.ts'
import type { PushCall } from './push.ts'

/** POST: begins a session, unless the blob can be had at once. */
export async function answerUploadStart(call: PushCall): Promise<Answer> {
  const { exchange, local, push } = call
  const { query } = exchange
  const mount = query.get('mount')
  if (mount !== null) return answerMount(call, parseDigest(mount))
  const digest = query.get('digest')
  if (digest !== null) return answerWhole(call, parseDigest(digest))
  return accepted(call, await push.uploads.start(local, algorithmIn(query)))
}

export async function answerUpload(call: PushCall, id: string): Promise<Answer> {
  const { exchange, local, push } = call
  const { method } = exchange.request
  if (method === 'PATCH') return answerChunk(call, id)
  if (method === 'PUT') return answerClosing(call, id)
  if (method !== 'DELETE') return { ...progress(call, await push.uploads.status(local, id)), status: 204 }
  await push.uploads.cancel(local, id)
  return { status: 204, headers: { 'docker-upload-uuid': id }, content: noContent }
}

async function answerMount(call: PushCall, digest: Digest): Promise<Answer> {
  const { exchange, local, push } = call
  exchange.facts.digest = digest
  const from = exchange.query.get('from')
  // A name that leads nowhere has nothing to mount, which is no mistake.
  const source = from === null ? call.mayRead : await call.source(from)
  if (source && (await push.mounts.mount(local, digest, source))) return created(call, digest)
  return accepted(call, await push.uploads.start(local))
}

async function answerWhole(call: PushCall, digest: Digest): Promise<Answer> {
  const { exchange, local, push, pace } = call
  exchange.facts.digest = digest
  const session = await push.uploads.push(local, digest, requestBody(exchange, pace))
  return session ? accepted(call, session) : created(call, digest)
}

async function answerChunk(call: PushCall, id: string): Promise<Answer> {
  return withPlace(call, async () =>
    accepted(call, await call.push.uploads.append(call.local, id, await chunkOf(call, id))),
  )
}

async function answerClosing(call: PushCall, id: string): Promise<Answer> {
  const text = call.exchange.query.get('digest')
  if (text === null) throw new RegistryError('DIGEST_INVALID', 'the closing PUT needs ?digest=')
  const digest = parseDigest(text)
  call.exchange.facts.digest = digest
  return withPlace(call, async () => {
    await call.push.uploads.complete(call.local, id, { digest, chunk: await chunkOf(call, id) })
    return created(call, digest)
  })
}

async function chunkOf(call: PushCall, id: string): Promise<Chunk> {
  const { exchange, pace } = call
  const header = exchange.request.headers['content-range']
  const range = header === undefined ? undefined : parseContentRange(header)
  if (header !== undefined && range === undefined) {
    const place = await call.push.uploads.status(call.local, id)
    throw new UploadConflict('Content-Range has to be <first>-<last>, both inclusive', place)
  }
  return { ...requestBody(exchange, pace), range }
}

/** `<first>-<last>` (distribution-spec, end-5); what RFC 9110 makes of it is taken too. */
function parseContentRange(header: string): Chunk['range'] {
  const [, first, last] = /^(?:bytes[ =])?(\d{1,15})-(\d{1,15})(?:\/(?:\d+|\*))?$/.exec(header.trim()) ?? []
  return first === undefined ? undefined : { first: Number(first), last: Number(last) }
}

function algorithmIn(query: URLSearchParams): Algorithm | undefined {
  const text = query.get('digest-algorithm')
  if (text === null || text === 'sha256' || text === 'sha512') return text ?? undefined
  throw new RegistryError('DIGEST_INVALID', 'digest-algorithm has to be sha256 or sha512')
}

/** Who is refused for the place of a chunk is told the right one. */
async function withPlace(call: PushCall, task: () => Promise<Answer>): Promise<Answer> {
  try {
    return await task()
  } catch (error) {
    if (!(error instanceof UploadConflict)) throw error
    const { code, message, status, progress: place } = error
    throw new RegistryError(code, message, { status, headers: progress(call, place).headers })
  }
}

function accepted(call: PushCall, place: Progress): Answer {
  return { ...progress(call, place), status: 202 }
}

/** An empty session has the range `0-0`, which is what docker can read. */
function progress({ address }: PushCall, { id, offset }: Progress): Answer {
  const headers: Headers = {
    location: `${address}/blobs/uploads/${id}`,
    range: `0-${Math.max(0, offset - 1)}`,
    'docker-upload-uuid': id,
  }
  return { status: 202, headers, content: noContent }
}

function created({ address }: PushCall, digest: Digest): Answer {
  return {
    status: 201,
    headers: { location: `${address}/blobs/${digest}`, 'docker-content-digest': digest },
    content: noContent,
  }
}
