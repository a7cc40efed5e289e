/** GET and HEAD of manifests (distribution-spec, end-3). */
import { RegistryError } from '../oci/errors.ts'
import { parseReference } from '../oci/reference.ts'
import { type Answer, noContent } from './answer.ts'
import type { Call } from './call.ts'
import { entityTag, notModified } from './conditional.ts'
import { isHead } from './exchange.ts'

export async function answerManifest({ exchange, resolved, pull }: Call, text: string): Promise<Answer> {
  const { facts, request } = exchange
  const reference = parseReference(text)
  facts.reference = text
  if (resolved.kind === 'local')
    throw new RegistryError('MANIFEST_UNKNOWN', `${resolved.repository} holds no manifest ${text}`)
  const found = await pull.manifests.get(resolved.target, reference, { head: isHead(exchange) })
  const { digest, mediaType, size, body, provenance } = found
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
