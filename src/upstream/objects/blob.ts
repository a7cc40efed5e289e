/** Blobs from an endpoint: whether they are there, and their bytes as a stream. */
import { Readable } from 'node:stream'
import type { Digest } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/name.ts'
import type { Endpoint, Reply, ResourceRequest } from '../endpoint.ts'
import { failureOf } from '../transport/failure.ts'
import { isRedirect } from '../transport/redirects.ts'
import { discard, headerOf } from '../transport/transport.ts'
import { refusalFor } from '../unexpected.ts'
import type { BlobAsk, BlobBody } from '../upstream.ts'
import { UpstreamError } from '../upstream-error.ts'

export interface BlobHead {
  size: number | undefined
  anonymous: boolean
}

interface BlobRequest {
  repository: RepositoryName
  digest: Digest
  signal: AbortSignal | undefined
}

/**
 * A redirect confirms the blob, but its Content-Length is its own and a signed URL is good for one method only,
 * so that the size is learned with a GET of one byte.
 */
export async function headBlob(endpoint: Endpoint, ask: BlobRequest): Promise<BlobHead> {
  const reply = endpoint.refusesHead ? undefined : await askHead(endpoint, ask)
  if (!reply) {
    const head = await getFirstByte(endpoint, ask)
    endpoint.refusesHead = true
    return head
  }
  const { status, anonymous } = reply
  discard(reply)
  if (isPage(reply)) throw refusalFor(reply)
  if (status === 200) return { size: lengthOf(reply), anonymous }
  if (!isRedirect(status)) throw refusalFor(reply)
  try {
    return await getFirstByte(endpoint, ask)
  } catch (error) {
    if (!(error instanceof UpstreamError) || error.absent || error.failure === 'corrupt') throw error
    return { size: undefined, anonymous }
  }
}

/** Undefined where the registry may only dislike the method: ECR Public answers 401 to every HEAD of a blob. */
async function askHead(endpoint: Endpoint, ask: BlobRequest): Promise<Reply | undefined> {
  try {
    return await endpoint.ask({ ...requestFor(ask), method: 'HEAD', redirects: 'none' })
  } catch (error) {
    const status = error instanceof UpstreamError ? error.upstreamStatus : undefined
    if (isWrongPassword(error)) throw error
    if (status === 401 || status === 405) return undefined
    throw error
  }
}

/** It is not tried twice. */
function isWrongPassword(error: unknown): boolean {
  return error instanceof UpstreamError && error.failure === 'credential-refused'
}

async function getFirstByte(endpoint: Endpoint, ask: BlobRequest): Promise<BlobHead> {
  const headers = { range: 'bytes=0-0' }
  const reply = await endpoint.ask({ ...requestFor(ask), method: 'GET', headers, accept: [416] })
  discard(reply)
  const { status, anonymous } = reply
  if (isPage(reply)) throw refusalFor(reply)
  if (status === 200) return { size: lengthOf(reply), anonymous }
  const total = contentRange(reply)?.total
  // A blob of no bytes has no first one: `416`, `Content-Range: bytes */0`.
  if (status === 416 && total !== 0) throw refusalFor(reply)
  return { size: total, anonymous }
}

export async function openBlob(
  endpoint: Endpoint,
  ask: BlobRequest & Pick<BlobAsk, 'range'>,
): Promise<BlobBody> {
  const { range } = ask
  const headers = range ? { range: `bytes=${range.first}-${range.last ?? ''}` } : {}
  const reply = await endpoint.ask({ ...requestFor(ask), method: 'GET', headers, accept: [416] })
  const { subject, body, anonymous } = reply
  const encoding = headerOf(reply, 'content-encoding') ?? 'identity'
  if (encoding !== 'identity' && encoding !== '') {
    discard(reply)
    throw failureOf(
      subject,
      'corrupt',
      `${subject.upstream} sent content-encoding ${encoding} for ${subject.text}`,
    )
  }
  if (range && reply.status === 416 && contentRange(reply)?.total === range.first) {
    discard(reply) // an earlier answer broke off after the last byte: nothing is missing
    const rest = { first: range.first, total: range.first, length: 0, etag: undefined }
    return { ...rest, anonymous, body: Readable.from([]) }
  }
  const placed = placeOf(reply, range)
  if (!placed) throw refusalFor(reply)
  return { ...placed, etag: headerOf(reply, 'etag'), anonymous, body }
}

/** Where the body belongs in the blob; undefined when that is not where it was asked for. */
function placeOf(
  reply: Reply,
  range: BlobAsk['range'],
): Pick<BlobBody, 'first' | 'total' | 'length'> | undefined {
  const length = lengthOf(reply)
  if (reply.status === 200) return { first: 0, total: length, length }
  const part = contentRange(reply)
  if (reply.status !== 206 || !range || part?.first !== range.first || part.last === undefined)
    return undefined
  if (range.last !== undefined && part.last > range.last) return undefined
  const span = part.last - part.first + 1
  if (span < 1 || (length !== undefined && length !== span)) return undefined
  if (part.total !== undefined && part.last >= part.total) return undefined
  return { first: part.first, total: part.total, length: length ?? span }
}

/** A gateway's page to log in at confirms nothing. A blob that really is HTML comes as the 206 that was asked for. */
function isPage(reply: Reply): boolean {
  return reply.status === 200 && (headerOf(reply, 'content-type') ?? '').toLowerCase().startsWith('text/html')
}

function requestFor({ repository, digest, signal }: BlobRequest): Omit<ResourceRequest, 'method'> {
  return { repository, path: `blobs/${digest}`, kind: 'blob', signal }
}

function lengthOf(reply: Reply): number | undefined {
  const text = headerOf(reply, 'content-length') ?? ''
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

/** `bytes 0-0/1234`, `bytes 0-0/*`, or a 416's with `*` for the range. */
function contentRange(
  reply: Reply,
): { first?: number; last?: number; total: number | undefined } | undefined {
  const text = headerOf(reply, 'content-range') ?? ''
  const match = /^bytes\s+(?:(\d{1,15})-(\d{1,15})|\*)\/(\d{1,15}|\*)$/i.exec(text.trim())
  if (!match) return undefined
  const [, first, last, total] = match
  const size = total === '*' ? undefined : Number(total)
  return first === undefined ? { total: size } : { first: Number(first), last: Number(last), total: size }
}
