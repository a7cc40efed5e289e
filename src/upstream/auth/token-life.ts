/** How long a registry token is good for; registries say it in four ways, or not at all. */

/** The token specification's default, and what clients treat as the least. */
const defaultMs = 60_000
const longestMs = 12 * 60 * 60_000
const marginMs = 30_000

/** Milliseconds for which to use a token: its life less a margin for clocks and slow requests. */
export function usableMs(token: string, expiresIn: unknown, now: number): number {
  const life = clamp(fromExpiresIn(expiresIn) ?? fromClaims(token, now) ?? defaultMs)
  return Math.min(life * 0.8, life - marginMs)
}

function clamp(ms: number): number {
  return Math.min(Math.max(ms, defaultMs), longestMs)
}

function fromExpiresIn(value: unknown): number | undefined {
  const seconds = typeof value === 'string' && value.trim() !== '' ? Number(value) : value
  return typeof seconds === 'number' && Number.isFinite(seconds) ? seconds * 1_000 : undefined
}

/** `exp` of a JWT, measured from its own `iat` so that clocks may differ, or ECR Public's `expiration`. */
function fromClaims(token: string, now: number): number | undefined {
  const { exp, iat } = decode(token.split('.')[1])
  if (typeof exp === 'number') return finite(exp * 1_000 - (typeof iat === 'number' ? iat * 1_000 : now))
  const { expiration } = decode(token)
  return typeof expiration === 'number' ? finite(expiration * 1_000 - now) : undefined
}

/** JSON has numbers beyond all numbers: `1e999`. */
function finite(ms: number): number | undefined {
  return Number.isFinite(ms) ? ms : undefined
}

function decode(part: string | undefined): Record<string, unknown> {
  if (part === undefined) return {}
  try {
    return Object(JSON.parse(Buffer.from(part, 'base64url').toString('utf8'))) as Record<string, unknown>
  } catch {
    return {} // an opaque token
  }
}
