/** Referrers of a manifest: by the API where upstream has it, else by the fallback tag. */
import { algorithmOf, type Digest, hexOf } from '../../oci/digest.ts'
import { type Descriptor, viewManifest } from '../../oci/manifest.ts'
import { mediaTypes } from '../../oci/media-type.ts'
import { isTag, type RepositoryName } from '../../oci/name.ts'
import type { Endpoint, Reply } from '../endpoint.ts'
import { failureOf } from '../transport/failure.ts'
import { discard, headerOf } from '../transport/transport.ts'
import { UpstreamError } from '../upstream-error.ts'
import { readBody } from './body.ts'
import { nextPage } from './link.ts'
import { getManifest } from './manifest.ts'

interface ReferrersAsk {
  repository: RepositoryName
  subject: Digest
  signal: AbortSignal | undefined
}

const maxPages = 100
const maxBytes = 8 * 1024 * 1024

/** How registries say that they have no such API. An outage is none of these: it must not hide signatures. */
const unsupported = new Set([400, 401, 403, 404, 405, 406, 410, 501])

export async function listReferrers(endpoint: Endpoint, ask: ReferrersAsk): Promise<Descriptor[]> {
  return (await fromApi(endpoint, ask)) ?? fromFallbackTag(endpoint, ask)
}

async function fromApi(endpoint: Endpoint, ask: ReferrersAsk): Promise<Descriptor[] | undefined> {
  const found: Descriptor[] = []
  let query: URLSearchParams | undefined = new URLSearchParams()
  let bytesLeft = maxBytes
  for (let page = 0; query; page++) {
    const reply = await askPage(endpoint, ask, query)
    if (!reply) {
      if (page === 0) return undefined
      throw new UpstreamError(
        endpoint.upstream,
        'corrupt',
        `${endpoint.upstream} broke off its list of referrers`,
      )
    }
    const { subject } = reply
    const body = await readBody(reply, subject, { maxBytes: bytesLeft, signal: ask.signal })
    bytesLeft -= body.length
    const view = viewManifest(body)
    if (!view)
      throw failureOf(subject, 'corrupt', `${subject.upstream} answered ${subject.text} with no index`)
    for (const descriptor of view.manifests) found.push(descriptor)
    for (const descriptor of view.blobs) found.push(descriptor)
    query = nextPage(reply.headers.link, reply.url)?.searchParams
    if (query && page + 1 === maxPages) {
      const message = `${subject.upstream} lists more than ${maxPages} pages for ${subject.text}`
      throw failureOf(subject, 'too-large', message)
    }
  }
  return found
}

/** Undefined for every answer that is no page of the API; ghcr.io redirects to its website. */
async function askPage(
  endpoint: Endpoint,
  { repository, subject, signal }: ReferrersAsk,
  query: URLSearchParams,
): Promise<Reply | undefined> {
  try {
    const reply = await endpoint.ask({
      method: 'GET',
      repository,
      path: `referrers/${subject}`,
      query,
      headers: { accept: mediaTypes.ociIndex },
      kind: 'referrers',
      redirects: 'same-origin',
      signal,
    })
    const [type = ''] = (headerOf(reply, 'content-type') ?? '').split(';')
    if (reply.status === 200 && type.trim().toLowerCase() === mediaTypes.ociIndex) return reply
    discard(reply)
    return undefined
  } catch (error) {
    if (error instanceof UpstreamError && unsupported.has(error.upstreamStatus ?? 0)) return undefined
    throw error
  }
}

async function fromFallbackTag(endpoint: Endpoint, ask: ReferrersAsk): Promise<Descriptor[]> {
  const { repository, subject, signal } = ask
  // distribution-spec, "Referrers Tag Schema": at most 64 characters of the encoded part.
  const tag = `${algorithmOf(subject)}-${hexOf(subject).slice(0, 64)}`
  if (!isTag(tag)) return []
  try {
    const { body, mediaType } = await getManifest(endpoint, {
      repository,
      reference: { kind: 'tag', tag },
      maxBytes,
      signal,
    })
    const view = mediaType === mediaTypes.ociIndex ? viewManifest(body) : undefined
    return view ? [...view.manifests, ...view.blobs] : []
  } catch (error) {
    if (error instanceof UpstreamError && error.failure === 'not-found') return []
    throw error
  }
}
