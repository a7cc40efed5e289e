/** What a manifest is asked by: a tag or a digest. */
import { type Digest, isDigest, looksLikeDigest, parseDigest } from './digest.ts'
import { RegistryError } from './errors.ts'
import { isTag, type Tag } from './name.ts'

export type Reference =
  | { readonly kind: 'tag'; readonly tag: Tag }
  | { readonly kind: 'digest'; readonly digest: Digest }

/**
 * @throws RegistryError DIGEST_INVALID (400) for a malformed digest,
 *   MANIFEST_UNKNOWN (404) for what is neither tag nor digest: no manifest can have such a name.
 */
export function parseReference(text: string): Reference {
  if (isDigest(text)) return { kind: 'digest', digest: text }
  if (looksLikeDigest(text)) return { kind: 'digest', digest: parseDigest(text) }
  if (isTag(text)) return { kind: 'tag', tag: text }
  throw new RegistryError('MANIFEST_UNKNOWN', 'the reference is neither a tag nor a digest')
}

export function referenceText(reference: Reference): string {
  return reference.kind === 'tag' ? reference.tag : reference.digest
}
