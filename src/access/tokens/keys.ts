/** The keys of registry tokens: one signs, all of them verify, so that a key can be replaced while its tokens live. */
import { createPrivateKey, createPublicKey, hkdfSync, type KeyObject } from 'node:crypto'
import { calculateJwkThumbprint } from 'jose'

export interface TokenKeys {
  readonly signing: TokenKey
  readonly byId: ReadonlyMap<string, TokenKey>
}

export interface TokenKey {
  /** Thumbprint (RFC 7638). */
  readonly id: string
  /** The only one that it is good for (RFC 7518 §3.1, RFC 9864). */
  readonly algorithm: 'Ed25519' | 'ES256'
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  /** For marks in tokens that tell nothing to who reads them. */
  readonly markKey: Buffer
}

export class TokenKeyInvalid extends Error {
  override readonly name = 'TokenKeyInvalid'
}

/**
 * @param pems private keys; the first one signs
 * @throws TokenKeyInvalid when there is none, or one of another kind
 */
export async function openKeys(pems: readonly string[]): Promise<TokenKeys> {
  return keysOf(await Promise.all(pems.map(pem => tokenKey(privateKeyIn(pem)))))
}

/** One key, the same for the same seed. @param seed 32 bytes */
export async function keysFromSeed(seed: Buffer): Promise<TokenKeys> {
  const secret = Buffer.from(hkdfSync('sha256', seed, '', 'layover: key of registry tokens', 32))
  const der = Buffer.concat([ed25519Prefix, secret])
  return keysOf([await tokenKey(createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }))])
}

/** What PKCS #8 puts in front of the 32 bytes of an Ed25519 key (RFC 8410 §7). */
const ed25519Prefix = Buffer.from('302e020100300506032b657004220420', 'hex')

/** @throws TokenKeyInvalid, in words that quote nothing of the key */
export function algorithmOf(key: KeyObject): TokenKey['algorithm'] {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key
  if (type === 'ed25519') return 'Ed25519'
  if (type === 'ec' && details?.namedCurve === 'prime256v1') return 'ES256'
  throw new TokenKeyInvalid(`a key of type Ed25519 or P-256, not ${details?.namedCurve ?? type}`)
}

/** @throws TokenKeyInvalid */
export function privateKeyIn(pem: string): KeyObject {
  try {
    return createPrivateKey(pem)
  } catch {
    // No cause: it might quote the key.
    throw new TokenKeyInvalid('an unencrypted private key as PEM text')
  }
}

function keysOf(keys: readonly TokenKey[]): TokenKeys {
  const [signing] = keys
  if (!signing) throw new TokenKeyInvalid('at least one key')
  return { signing, byId: new Map(keys.map(key => [key.id, key])) }
}

async function tokenKey(privateKey: KeyObject): Promise<TokenKey> {
  const algorithm = algorithmOf(privateKey)
  const publicKey = createPublicKey(privateKey)
  // The number itself: the same key may be written down in several ways.
  const { d = '' } = privateKey.export({ format: 'jwk' })
  return {
    id: await calculateJwkThumbprint(publicKey.export({ format: 'jwk' })),
    algorithm,
    privateKey,
    publicKey,
    markKey: Buffer.from(hkdfSync('sha256', Buffer.from(d, 'base64url'), '', 'layover: marks in tokens', 32)),
  }
}
