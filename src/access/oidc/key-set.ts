/** The public keys of an issuer. RFC 7517. */
import { createPublicKey } from 'node:crypto'
import { createLocalJWKSet, type JWK, type LocalJWKSet } from 'jose'
import { z } from 'zod'

/** What tokens may be signed with. None of them works with a secret that both sides know, and none is `none`. */
export const signatureAlgorithms = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
] as const

/** Finds the key that a token names, of the kind that its algorithm needs. */
export type KeySet = LocalJWKSet

export class KeySetInvalid extends Error {
  override readonly name = 'KeySetInvalid'
}

const keySetForm = z.looseObject({ keys: z.array(z.looseObject({ kty: z.string() })) })

/** Weaker ones can be factored. */
const minRsaBits = 2048

/**
 * Keys of kinds that we do not know are passed over (RFC 7517 §5), and so are secret ones, which have no business there.
 * @throws KeySetInvalid for what is no key set, or has no key to verify a signature with; the text is not quoted
 */
export function parseKeySet(text: string): KeySet {
  const keys = readKeys(text).filter(isUsable)
  if (keys.length === 0)
    throw new KeySetInvalid('a JSON Web Key Set with at least one public key (RSA, EC, OKP)')
  return createLocalJWKSet({ keys })
}

/** Whether it has private or shared keys, which are for nobody but the issuer. */
export function holdsSecrets(text: string): boolean {
  return readKeys(text).some(isSecret)
}

function readKeys(text: string): JWK[] {
  try {
    return keySetForm.parse(JSON.parse(text)).keys
  } catch {
    // No cause: it might quote a key.
    throw new KeySetInvalid('a JSON Web Key Set: {"keys": […]}')
  }
}

function isUsable(key: JWK): boolean {
  if (isSecret(key)) return false
  try {
    const { asymmetricKeyType, asymmetricKeyDetails } = createPublicKey({ key, format: 'jwk' })
    return asymmetricKeyType !== 'rsa' || (asymmetricKeyDetails?.modulusLength ?? 0) >= minRsaBits
  } catch {
    return false // broken, or of a kind that we do not know
  }
}

function isSecret({ d, k }: JWK): boolean {
  return d !== undefined || k !== undefined
}
