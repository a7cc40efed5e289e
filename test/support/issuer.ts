/** An OIDC issuer on loopback: discovery, keys that rotate, tokens, and switches for what goes wrong. */
import { createServer } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import {
  exportJWK,
  type GenerateKeyPairResult,
  generateKeyPair,
  type JWK,
  type JWTPayload,
  SignJWT,
} from 'jose'

export interface SigningKey {
  readonly id: string
  readonly algorithm: string
  readonly pair: GenerateKeyPairResult
  /** As the issuer publishes it. */
  readonly jwk: JWK
}

export interface Answer {
  readonly status?: number
  readonly headers?: Record<string, string>
  /** A text as it is; anything else as JSON. */
  readonly body?: unknown
}

export interface TestIssuer extends AsyncDisposable {
  /** `iss`. */
  readonly url: string
  readonly keysUrl: string
  /** Requests that came. */
  readonly asked: { discovery: number; keys: number }
  /** The published ones; the first signs. */
  keys: SigningKey[]
  /** Answers 503. */
  isOut: boolean
  /** Takes requests and never answers. */
  isStalled: boolean
  /** Instead of the right answers. */
  lies: { discovery?: Answer; keys?: Answer }
  /** Of its own keys; the text of its key set. */
  keySet(): string
  /** A new key signs, and the old ones are gone. */
  rotate(algorithm?: string): Promise<SigningKey>
  /** Its own user `robot` for the audience `layover`, for five minutes; what is given replaces claims, undefined removes them. */
  token(claims?: Record<string, unknown>, options?: TokenForm): Promise<string>
}

export interface TokenForm {
  readonly key?: SigningKey
  /** Added to the header; undefined removes. */
  readonly header?: Header
}

export interface IssuerOptions {
  /** By which tokens are made; the real time. */
  readonly clock?: { now(): number }
  readonly algorithm?: string
  readonly tls?: { readonly cert: string; readonly key: string }
}

type Header = Record<string, unknown> & { crit?: string[] }

let made = 0

export async function createSigningKey(algorithm = 'ES256'): Promise<SigningKey> {
  made += 1
  const id = `key-${made}`
  const pair = await generateKeyPair(algorithm, { extractable: true })
  const jwk = { ...(await exportJWK(pair.publicKey)), kid: id, alg: algorithm, use: 'sig' }
  return { id, algorithm, pair, jwk }
}

/** Of any issuer, right or wrong in every part. */
export async function signToken(claims: JWTPayload, key: SigningKey, header: Header = {}): Promise<string> {
  const all = { alg: key.algorithm, kid: key.id, typ: 'JWT', ...header }
  const present = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
  return await new SignJWT(claims)
    .setProtectedHeader({ alg: key.algorithm, ...present })
    .sign(key.pair.privateKey, {
      crit: Object.fromEntries((header.crit ?? []).map(name => [name, true])),
    })
}

export async function startIssuer(options: IssuerOptions = {}): Promise<TestIssuer> {
  const { clock = Date, algorithm, tls } = options
  const asked = { discovery: 0, keys: 0 }
  const server = tls ? createSecureServer(tls) : createServer()
  server.listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const url = `${tls ? 'https' : 'http'}://127.0.0.1:${(server.address() as AddressInfo).port}`
  const issuer: TestIssuer = {
    url,
    keysUrl: `${url}/keys`,
    asked,
    keys: [await createSigningKey(algorithm)],
    isOut: false,
    isStalled: false,
    lies: {},
    keySet: () => JSON.stringify({ keys: issuer.keys.map(({ jwk }) => jwk) }),
    async rotate(next = algorithm) {
      const key = await createSigningKey(next)
      issuer.keys = [key]
      return key
    },
    async token(claims = {}, { key = issuer.keys[0], header } = {}) {
      if (!key) throw new Error('this issuer has no key')
      const now = Math.floor(clock.now() / 1000)
      const all = { iss: url, sub: 'robot', aud: 'layover', iat: now, exp: now + 300, ...claims }
      return await signToken(JSON.parse(JSON.stringify(all)) as JWTPayload, key, header)
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
  const answers = new Map<string, () => Answer>([
    [
      '/.well-known/openid-configuration',
      () => {
        asked.discovery += 1
        return issuer.lies.discovery ?? { body: { issuer: url, jwks_uri: issuer.keysUrl } }
      },
    ],
    [
      '/keys',
      () => {
        asked.keys += 1
        return issuer.lies.keys ?? { body: issuer.keySet() }
      },
    ],
  ])
  server.on('request', (request, response) => {
    const right = answers.get(request.url ?? '')?.() ?? { status: 404 }
    if (issuer.isStalled) return
    const { status = 200, headers = {}, body = '' } = issuer.isOut ? { status: 503 } : right
    response.writeHead(status, { 'content-type': 'application/json', ...headers })
    response.end(typeof body === 'string' ? body : JSON.stringify(body))
  })
  return issuer
}
