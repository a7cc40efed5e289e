/** Conditional requests (RFC 9110 §13): content has its digest as the entity tag. */
import type { Digest } from '../../oci/digest.ts'

export function entityTag(digest: Digest): string {
  return `"${digest}"`
}

/** If-None-Match holds the digest, quoted or bare, weak or strong, or `*`. */
export function notModified(header: string | undefined, digest: Digest): boolean {
  if (header === undefined) return false
  return header.split(',').some(part => {
    const tag = part.trim().replace(/^W\//, '').replaceAll('"', '')
    return tag === digest || tag === '*'
  })
}

/** Whether a Range header counts: without If-Range always, with it only for this very content. */
export function rangeApplies(ifRange: string | undefined, digest: Digest): boolean {
  return ifRange === undefined || ifRange.trim() === entityTag(digest)
}
