/** GET and HEAD of manifests (distribution-spec, end-3). */
import { type Reference, referenceText } from '../../oci/reference.ts'
import type { ManifestAnswer } from '../../pull/manifests/manifests.ts'
import { type Answer, noContent } from '../answer.ts'
import { isHead } from '../exchange.ts'
import { type ContentCall, upstreamOf } from './call.ts'
import { entityTag, notModified } from './conditional.ts'
import { wantedManifest } from './wanted.ts'

export async function answerManifest(call: ContentCall, text: string): Promise<Answer> {
  const { facts, request } = call.exchange
  facts.reference = text
  const reference = wantedManifest(text)
  const { digest, mediaType, size, body, provenance } = await find(call, reference)
  facts.digest = digest
  facts.provenance = provenance
  const headers = {
    'content-type': mediaType,
    'docker-content-digest': digest,
    etag: entityTag(digest),
    'cache-control': reference.kind === 'digest' ? 'max-age=31536000, immutable' : 'no-cache',
  }
  if (notModified(request.headers['if-none-match'], digest))
    return { status: 304, headers, content: noContent }
  if (body === undefined)
    return { status: 200, headers: { ...headers, 'content-length': String(size) }, content: noContent }
  return { status: 200, headers, content: { kind: 'buffer', buffer: body } }
}

async function find(call: ContentCall, reference: Reference): Promise<ManifestAnswer> {
  const { exchange, resolved, pull } = call
  const ask = { head: isHead(exchange) }
  const held = resolved.local && (await pull.local.manifest(resolved.local, reference, ask))
  if (held) return held
  const upstream = upstreamOf(call, 'MANIFEST_UNKNOWN', `manifest ${referenceText(reference)}`)
  return pull.manifests.get(upstream, reference, ask)
}
