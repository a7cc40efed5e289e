/** tags/list and the referrers API, paged as registries page them. */
import type { Digest } from '../../src/oci/digest.ts'
import { mediaTypes } from '../../src/oci/media-type.ts'
import { type Answer, json, type Request } from './answer.ts'
import type { StoredManifest } from './content.ts'
import type { Repository } from './holdings.ts'

export interface Paging {
  /** Entries of a page at most. */
  page: number
  links: 'relative' | 'absolute' | 'none'
  /** For absolute links. */
  origin: string
}

export function listTags(request: Request, name: string, { tags }: Repository, paging: Paging): Answer {
  const last = request.query.get('last') ?? ''
  const n = request.query.get('n')
  const wanted = Math.min(n === null ? paging.page : Number(n), paging.page)
  const after = [...tags.keys()].sort().filter(tag => tag > last)
  const page = after.slice(0, wanted)
  const more = page.length > 0 && page.length < after.length
  const next = new URLSearchParams({ last: page.at(-1) ?? '', n: String(wanted) })
  return json(200, { name, tags: page }, more ? link(request, next, paging) : {})
}

export function listReferrers(
  request: Request,
  subject: Digest,
  repository: Repository | undefined,
  { filter, ...paging }: Paging & { filter: boolean },
): Answer {
  const types = filter ? request.query.getAll('artifactType') : []
  const all = [...(repository?.manifests.values() ?? [])]
    .map(manifest => referrerOf(manifest, subject))
    .filter(found => found !== undefined)
    .filter(found => types.length === 0 || types.includes(found.artifactType ?? ''))
  const from = Number(request.query.get('next_page') ?? 0)
  const manifests = all.slice(from, from + paging.page)
  const next = new URLSearchParams(request.query)
  next.set('next_page', String(from + paging.page))
  const body = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }
  return json(200, body, {
    'content-type': mediaTypes.ociIndex,
    ...(types.length > 0 ? { 'oci-filters-applied': 'artifactType' } : {}),
    ...(from + paging.page < all.length ? link(request, next, paging) : {}),
  })
}

interface ReferrerFields {
  subject?: { digest: string }
  artifactType?: string
  config?: { mediaType: string }
  annotations?: Record<string, string>
}

function referrerOf(manifest: StoredManifest, subject: Digest) {
  const fields = read(manifest)
  if (fields?.subject?.digest !== subject) return undefined
  const { mediaType, digest, body } = manifest
  const artifactType = fields.artifactType ?? fields.config?.mediaType
  return { mediaType, digest, size: body.length, artifactType, annotations: fields.annotations }
}

function read({ body }: StoredManifest): ReferrerFields | undefined {
  try {
    return JSON.parse(body.toString()) as ReferrerFields
  } catch {
    return undefined // a manifest that is meant to be broken refers to nothing
  }
}

function link({ path }: Request, next: URLSearchParams, { links, origin }: Paging): Record<string, string> {
  if (links === 'none') return {}
  const target = `${path}?${next.toString()}`
  return { link: `<${links === 'absolute' ? origin : ''}${target}>; rel="next"` }
}
