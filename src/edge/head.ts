/** The headers that an answer has each time it is given. */
import { type Answer, contentLength, type Headers } from './answer.ts'
import { cacheHeaders } from './cache-status.ts'
import type { Facts } from './exchange.ts'

export function fixedHeaders({ status, headers, content }: Answer, facts: Facts, isHead = false): Headers {
  const length =
    headers['content-length'] ?? (isHead && content.kind === 'none' ? undefined : contentLength(content))
  return {
    'docker-distribution-api-version': 'registry/2.0',
    'x-content-type-options': 'nosniff',
    ...(length === undefined || status === 304 || status === 204 ? {} : { 'content-length': String(length) }),
    ...(facts.namespace === undefined ? {} : { 'oci-namespace': facts.namespace }),
    ...(facts.provenance ? cacheHeaders(facts.provenance) : {}),
    ...headers,
  }
}
