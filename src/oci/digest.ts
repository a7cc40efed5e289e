/** Content digests `<algorithm>:<hex>` (image-spec, descriptor.md "Digests"). */
import { createHash, type Hash } from 'node:crypto'
import { RegistryError } from './errors.ts'

declare const digestBrand: unique symbol
/** A digest whose grammar and algorithm were checked: sha256 or sha512, lower-case hex of the right length. */
export type Digest = string & { readonly [digestBrand]: true }
export type Algorithm = 'sha256' | 'sha512'

const grammar = /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/
const supported = /^(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})$/
const maxLength = 512

export function isDigest(text: string): text is Digest {
  return supported.test(text)
}

/** Whether the text has a digest's shape, so that it is no tag; its algorithm may be unknown to us. */
export function looksLikeDigest(text: string): boolean {
  return text.length <= maxLength && text.includes(':')
}

/** Whether the text is a digest by the grammar, of an algorithm that we do not hash: nothing here can have it. */
export function isForeignDigest(text: string): boolean {
  return text.length <= maxLength && grammar.test(text) && !/^sha(?:256|512):/.test(text)
}

/** @throws RegistryError DIGEST_INVALID (400) for a malformed digest or an algorithm we do not hash. */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text
  const reason = text.length <= maxLength && grammar.test(text) ? 'unsupported or malformed' : 'malformed'
  throw new RegistryError('DIGEST_INVALID', `${reason} digest: expected sha256:<64 hex> or sha512:<128 hex>`)
}

export function algorithmOf(digest: Digest): Algorithm {
  return digest.startsWith('sha512:') ? 'sha512' : 'sha256'
}

export function hexOf(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1)
}

/** A hash in the digest's own algorithm, to be fed the content that should match it. */
export function hashFor(digest: Digest): Hash {
  return createHash(algorithmOf(digest))
}

/** Finishes the hash and spells the result as a digest. */
export function digestFrom(algorithm: Algorithm, hash: Hash): Digest {
  return `${algorithm}:${hash.digest('hex')}` as Digest
}

export function digestOf(content: Uint8Array, algorithm: Algorithm = 'sha256'): Digest {
  return digestFrom(algorithm, createHash(algorithm).update(content))
}

/** @param hash of the algorithm's length */
export function digestFromBytes(algorithm: Algorithm, hash: Buffer): Digest {
  return `${algorithm}:${hash.toString('hex')}` as Digest
}

/** The form used in file names and fallback tags: `sha256-<hex>`. */
export function dashed(digest: Digest): string {
  return digest.replace(':', '-')
}

/** The digest of which a name is the dashed form. */
export function fromDashed(name: string): Digest | undefined {
  const digest = name.replace('-', ':')
  return isDigest(digest) ? digest : undefined
}
