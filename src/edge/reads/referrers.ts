/** Referrers (distribution-spec, end-12): never 404, filtered and cut into pages here whoever lists them. */

import type { Page } from '../../index/index.ts'
import { type Digest, isDigest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import type { Descriptor } from '../../oci/manifest.ts'
import { mediaTypes } from '../../oci/media-type.ts'
import { mergePages, pageOf, unlessAbsent } from '../../pull/overlay.ts'
import { hit } from '../../pull/provenance.ts'
import type { Answer, Headers } from '../answer.ts'
import type { Call } from './call.ts'
import { linkTo, type PageAsked, pageAfter, pageAsked } from './paging.ts'
import { wantedSubject } from './wanted.ts'

/** Clients read no more than 4 MiB of one answer; the rest is for what is around the descriptors. */
const maxBytes = 4 * 1024 * 1024 - 1024
/** Read at a time: few, since each may be as large as a manifest. */
const batchSize = 32
/** A request looks through so many pages' worth and bytes; where that was not enough, the client goes on with the next. */
const maxPagesScanned = 10
const maxBytesScanned = 64 * 1024 * 1024

export async function answerReferrers(call: Call, text: string): Promise<Answer> {
  const { exchange, pageLimit } = call
  const subject = wantedSubject(text)
  exchange.facts.digest = text
  const asked = pageAsked(exchange.query, pageLimit)
  const last = cursorOf(asked)
  const types = wantedTypes(exchange.query)
  if (subject === undefined) return answerOf({ found: [], types })
  const read = await source(call, subject)
  const limits = { entries: asked.limit, scanned: maxPagesScanned * pageLimit }
  const { found, next } = await scan(read, { types, last, limits })
  const answer = answerOf({ found, types })
  return next === undefined ? answer : withNext(answer, { call, subject, asked, types, next })
}

type Read = (page: Page<Digest>) => Promise<readonly Descriptor[]>

/** What is here and what upstream has. Where upstream does not say, nothing is answered: that would hide signatures. */
async function source({ exchange, resolved, pull }: Call, subject: Digest): Promise<Read> {
  const { local, upstream } = resolved
  if (!local) upstream.upstream.assertAllowed(upstream.repository)
  const below = upstream && (await unlessAbsent(pull.listings.referrers(upstream, subject)))
  exchange.facts.provenance = below?.provenance ?? hit
  return async page => {
    const held = local ? await pull.local.referrers(local, subject, page) : []
    return mergePages([held, pageOf(below?.referrers ?? [], nameOf, page)], nameOf, page.limit)
  }
}

function nameOf({ digest }: Descriptor): string {
  return digest
}

interface Scan {
  types: readonly string[]
  last: Digest | undefined
  limits: { entries: number; scanned: number }
}

interface Scanned {
  /** Descriptors as JSON. */
  found: readonly string[]
  /** The next page begins after this one; undefined: there is no more. */
  next: Digest | undefined
}

async function scan(read: Read, { types, last, limits }: Scan): Promise<Scanned> {
  const page = new ReferrersPage(limits.entries)
  if (limits.entries === 0) return { found: [], next: undefined }
  let at = last
  let bytes = 0
  for (let scanned = 0; scanned < limits.scanned && bytes < maxBytesScanned; ) {
    const limit = Math.min(batchSize, limits.scanned - scanned)
    const batch = await read({ last: at, limit })
    for (const descriptor of batch) {
      const text = JSON.stringify(descriptor)
      const isWanted = types.length === 0 || types.includes(descriptor.artifactType ?? '')
      if (isWanted && !page.add(text)) return { found: page.entries, next: at }
      at = descriptor.digest
      bytes += text.length
    }
    if (batch.length < limit) return { found: page.entries, next: undefined }
    scanned += batch.length
  }
  return { found: page.entries, next: at }
}

class ReferrersPage {
  readonly entries: string[] = []
  readonly #limit: number
  #bytes = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  /** Takes a descriptor as JSON. False: the page is full without it. One entry always has room. */
  add(text: string): boolean {
    if (this.entries.length === this.#limit) return false
    const bytes = Buffer.byteLength(text) + 1
    if (this.entries.length > 0 && this.#bytes + bytes > maxBytes) return false
    this.entries.push(text)
    this.#bytes += bytes
    return true
  }
}

function cursorOf({ last }: PageAsked): Digest | undefined {
  if (last === undefined || isDigest(last)) return last
  throw new RegistryError('UNSUPPORTED', 'last has to come from a Link of this list', { status: 400 })
}

/** containerd asks for several types at once; an unencoded `+` arrives as a space. */
function wantedTypes(query: URLSearchParams): readonly string[] {
  return query
    .getAll('artifactType')
    .filter(Boolean)
    .map(type => type.replaceAll(' ', '+'))
}

function answerOf({ found, types }: { found: readonly string[]; types: readonly string[] }): Answer {
  const { ociIndex } = mediaTypes
  const filtered: Headers = types.length === 0 ? {} : { 'oci-filters-applied': 'artifactType' }
  const text = `{"schemaVersion":2,"mediaType":"${ociIndex}","manifests":[${found.join(',')}]}`
  return {
    status: 200,
    headers: { 'content-type': ociIndex, ...filtered },
    content: { kind: 'buffer', buffer: Buffer.from(text) },
  }
}

interface Next {
  call: Call
  subject: Digest
  asked: PageAsked
  types: readonly string[]
  next: Digest
}

function withNext(answer: Answer, { call, subject, asked, types, next }: Next): Answer {
  const { namespace } = call.exchange.facts
  const query = new URLSearchParams(pageAfter(next, asked))
  for (const type of types) query.append('artifactType', type)
  if (namespace !== undefined) query.set('ns', namespace)
  const link = linkTo(`${call.address}/referrers/${subject}`, query)
  return { ...answer, headers: { ...answer.headers, ...link } }
}
