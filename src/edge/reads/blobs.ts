/** GET and HEAD of blobs, with ranges (distribution-spec, end-2; RFC 9110 §14). */
import type { Digest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import {
  type ByteRange,
  contentRange,
  maxRanges,
  parseRange,
  type RangeSpec,
  resolveRange,
} from '../../oci/range.ts'
import type { BlobAnswer, BlobHead, LinkedBlob } from '../../pull/blobs.ts'
import { type Answer, contentLength, type Headers, noContent } from '../answer.ts'
import { isHead } from '../exchange.ts'
import { bytesHeader } from '../replicas/replica-origin.ts'
import { type ContentCall, upstreamOf } from './call.ts'
import { entityTag, notModified, rangeApplies } from './conditional.ts'
import { multipart } from './multipart.ts'
import { wantedBlob } from './wanted.ts'

/** Up to so many bytes come from the owner of local names: the replica that asks may keep them in memory. */
const mostGiven = 2 * 1024 * 1024

/** @param wholeBytes so large a blob is read at once */
export async function answerBlob(call: ContentCall, text: string, wholeBytes: number): Promise<Answer> {
  const { facts, request } = call.exchange
  const digest = wantedBlob(text)
  facts.digest = digest
  const unchanged = notModified(request.headers['if-none-match'], digest)
  if (isHead(call.exchange) || unchanged) return answerHead(call, digest, unchanged)
  return answerGet(call, digest, wholeBytes)
}

async function answerHead(call: ContentCall, digest: Digest, unchanged: boolean): Promise<Answer> {
  const { size, provenance } = await findHead(call, digest)
  call.exchange.facts.provenance = provenance
  if (unchanged) return { status: 304, headers: blobHeaders(digest), content: noContent }
  const length: Headers = size === undefined ? {} : { 'content-length': String(size) }
  return { status: 200, headers: { ...blobHeaders(digest), ...length }, content: noContent }
}

async function findHead(call: ContentCall, digest: Digest): Promise<BlobHead> {
  const { resolved, pull } = call
  const held = resolved.local && (await pull.local.blobHead(resolved.local, digest))
  return held ?? pull.blobs.head(upstreamOf(call, 'BLOB_UNKNOWN', `blob ${digest}`), digest)
}

/**
 * For a replica that gets large blobs by itself: leave to do so, in place of the bytes. Undefined: they go with the answer.
 */
export async function leaveForBytes(call: ContentCall, text: string): Promise<Answer | undefined> {
  const { exchange, resolved, pull } = call
  if (!exchange.fetchesBytes || !resolved.local || isHead(exchange)) return undefined
  const digest = wantedBlob(text)
  if (notModified(exchange.request.headers['if-none-match'], digest)) return undefined
  const size = await pull.local.held(resolved.local, digest)
  if (size === undefined || size <= mostGiven) return undefined
  exchange.facts.digest = digest
  return { status: 200, headers: { [bytesHeader]: String(size) }, content: noContent }
}

/** By leave of the owner of local names: the repository holds the blob, which has so many bytes. */
export async function answerLeft(call: ContentCall, text: string, size: number): Promise<Answer> {
  const { exchange, resolved, pull } = call
  const digest = wantedBlob(text)
  exchange.facts.digest = digest
  const specs = rangesFor(call, digest)
  if (!resolved.local) throw new Error('only bytes of local names are left to other replicas')
  return answerFound(
    call,
    { digest, specs },
    await pull.local.bytes(resolved.local, digest, { size, ranges: specs }),
  )
}

async function answerGet(call: ContentCall, digest: Digest, wholeBytes: number): Promise<Answer> {
  const specs = rangesFor(call, digest)
  const found = await find(call, digest, specs)
  const answer = answerFound(call, { digest, specs }, found)
  if (found.kind !== 'bytes' || found.provenance.outcome !== 'hit') return answer
  try {
    return await atOnce(answer, wholeBytes)
  } catch (error) {
    found.bytes.close()
    throw error
  }
}

function rangesFor({ exchange }: ContentCall, digest: Digest): readonly RangeSpec[] | undefined {
  const { 'if-range': ifRange, range } = exchange.request.headers
  const specs = rangeApplies(ifRange?.toString(), digest) ? parseRange(range) : undefined
  if (specs && specs.length > maxRanges) throw badRange(`more than ${maxRanges} ranges in one request`)
  return specs
}

function answerFound({ exchange }: ContentCall, { digest, specs }: Wanted, found: BlobAnswer): Answer {
  exchange.facts.provenance = found.provenance
  if (found.kind === 'link') return linkAnswer(found, digest)
  if (found.kind === 'relay') return relayAnswer(found, digest)
  try {
    return bytesAnswer(found, digest, specs)
  } catch (error) {
    found.bytes.close()
    throw error
  }
}

interface Wanted {
  readonly digest: Digest
  readonly specs: readonly RangeSpec[] | undefined
}

async function find(
  call: ContentCall,
  digest: Digest,
  specs: readonly RangeSpec[] | undefined,
): Promise<BlobAnswer> {
  const { resolved, pull } = call
  const held = resolved.local && (await pull.local.blob(resolved.local, digest, specs))
  return held ?? pull.blobs.get(upstreamOf(call, 'BLOB_UNKNOWN', `blob ${digest}`), digest, specs)
}

/** Few bytes are read in front of the answer, which then is one write, and may be kept. */
async function atOnce(answer: Answer, maxBytes: number): Promise<Answer> {
  const { content } = answer
  const length = contentLength(content)
  if (content.kind !== 'bytes' || length === undefined || length > maxBytes) return answer
  const { bytes, range } = content
  const first = range?.first ?? 0
  const buffer = Buffer.allocUnsafeSlow(length)
  for (let at = 0; at < length; ) {
    const chunks = await bytes.read(buffer.subarray(at), first + at)
    if (chunks.length === 0) throw new Error(`the bytes ended at ${first + at} of ${first + length}`)
    at += copyInto(buffer, at, chunks)
  }
  bytes.close()
  return { ...answer, content: { kind: 'buffer', buffer } }
}

/** They may be the buffer's own already. */
function copyInto(buffer: Buffer, at: number, chunks: readonly Buffer[]): number {
  let copied = 0
  for (const chunk of chunks) {
    if (chunk.buffer !== buffer.buffer) chunk.copy(buffer, at + copied)
    copied += chunk.length
  }
  return copied
}

/** For this client and a while: nobody in between may keep it. The range that it asked for it asks for again there. */
function linkAnswer({ url }: LinkedBlob, digest: Digest): Answer {
  const headers = { location: url, 'docker-content-digest': digest, 'cache-control': 'no-store' }
  return { status: 307, headers, content: noContent }
}

function relayAnswer({ relay, range, size }: BlobAnswer & { kind: 'relay' }, digest: Digest): Answer {
  const headers = { ...blobHeaders(digest), 'content-range': contentRange(range, size) }
  return { status: 206, headers, content: { kind: 'relay', relay, length: range.last - range.first + 1 } }
}

function bytesAnswer(
  { bytes, size }: BlobAnswer & { kind: 'bytes' },
  digest: Digest,
  specs: readonly RangeSpec[] | undefined,
): Answer {
  const headers = blobHeaders(digest)
  if (size === undefined) return { status: 200, headers, content: { kind: 'bytes', bytes, range: undefined } }
  if (!specs || size === 0) {
    return {
      status: 200,
      headers: { ...headers },
      content: { kind: 'bytes', bytes, range: { first: 0, last: size - 1 } },
    }
  }
  const ranges = specs.map(spec => resolveRange(spec, size)).filter(range => range !== undefined)
  const [only] = ranges
  if (!only) throw unsatisfiable(size)
  if (specs.length === 1) {
    const partial = { ...headers, 'content-range': contentRange(only, size) }
    return { status: 206, headers: partial, content: { kind: 'bytes', bytes, range: only } }
  }
  if (!ascending(ranges)) throw badRange('several ranges must be in ascending order and not overlap')
  return multipart({ bytes, size, ranges, headers })
}

function blobHeaders(digest: Digest): Headers {
  return {
    'content-type': 'application/octet-stream',
    'docker-content-digest': digest,
    'accept-ranges': 'bytes',
    etag: entityTag(digest),
    'cache-control': 'max-age=31536000, immutable',
  }
}

function ascending(ranges: readonly ByteRange[]): boolean {
  return ranges.every(({ first }, at) => at === 0 || first > (ranges[at - 1]?.last ?? 0))
}

function unsatisfiable(size: number): RegistryError {
  return new RegistryError('SIZE_INVALID', `the blob has ${size} bytes: the range lies outside`, {
    status: 416,
    headers: { 'content-range': `bytes */${size}` },
  })
}

/** podman and stargz take a 400 for "no multiple ranges here" and ask for less at once. */
function badRange(message: string): RegistryError {
  return new RegistryError('UNSUPPORTED', message, { status: 400 })
}
