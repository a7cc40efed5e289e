/** Signed tokens in the shapes registries give them, bound to service, access and expiry. */
import { createHmac, timingSafeEqual } from 'node:crypto'

export interface Claims {
  iss: string
  aud: string
  /** User name; empty for anonymous. */
  sub: string
  /** Repositories that may be pulled; `*` is all. */
  access: readonly string[]
  /** Seconds since the epoch, as in a JWT. */
  exp: number
  /** Sets tokens of one second apart. */
  jti: number
}

export type TokenFormat = 'opaque' | 'jwt' | 'ecr-public'

export function signToken(secret: string, claims: Claims, format: TokenFormat): string {
  const payload = Buffer.from(JSON.stringify(claims)).toString('base64url')
  const signature = sign(secret, payload)
  if (format === 'jwt') {
    const header = Buffer.from('{"alg":"HS256","typ":"JWT"}').toString('base64url')
    return `${header}.${payload}.${signature}`
  }
  if (format === 'opaque') return `${payload}.${signature}`
  return Buffer.from(JSON.stringify({ payload, signature, expiration: claims.exp })).toString('base64')
}

/** Undefined when the token was not signed here. Expiry is the caller's to judge. */
export function readToken(secret: string, token: string): Claims | undefined {
  const [payload, signature] = token.includes('.') ? token.split('.').slice(-2) : unpack(token)
  if (payload === undefined || signature === undefined) return undefined
  if (!same(sign(secret, payload), signature)) return undefined
  return JSON.parse(Buffer.from(payload, 'base64url').toString()) as Claims
}

function unpack(token: string): (string | undefined)[] {
  try {
    const { payload, signature } = JSON.parse(Buffer.from(token, 'base64').toString()) as Record<
      string,
      string
    >
    return [payload, signature]
  } catch {
    return [] // not one of ours
  }
}

export function sign(secret: string, text: string): string {
  return createHmac('sha256', secret).update(text).digest('base64url')
}

export function same(a: string, b: string): boolean {
  return a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b))
}
