/** What a reader asks for. A digest of an algorithm that is unknown here is not wrong: there is merely nothing under it. */
import { type Digest, isForeignDigest, parseDigest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import { parseReference, type Reference } from '../../oci/reference.ts'

/** @throws RegistryError BLOB_UNKNOWN (404) for a foreign digest, DIGEST_INVALID (400) for a malformed one */
export function wantedBlob(text: string): Digest {
  if (isForeignDigest(text))
    throw new RegistryError('BLOB_UNKNOWN', 'nothing is kept under digests of this algorithm')
  return parseDigest(text)
}

/** @throws RegistryError MANIFEST_UNKNOWN (404), DIGEST_INVALID (400) */
export function wantedManifest(text: string): Reference {
  if (isForeignDigest(text))
    throw new RegistryError('MANIFEST_UNKNOWN', 'nothing is kept under digests of this algorithm')
  return parseReference(text)
}

/** Undefined for a foreign digest, which nothing here refers to. @throws RegistryError DIGEST_INVALID (400) */
export function wantedSubject(text: string): Digest | undefined {
  return isForeignDigest(text) ? undefined : parseDigest(text)
}
