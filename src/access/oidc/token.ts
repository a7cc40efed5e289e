/** A JSON Web Token as it arrives, before anything in it is believed. RFC 7519, RFC 8725. */
import { decodeJwt, decodeProtectedHeader, type JWTPayload } from 'jose'
import { LoginRefused } from '../caller.ts'

/** Issuers' own stay below 4 KiB; Node takes no headers beyond 16 KiB. */
const maxTokenBytes = 16 * 1024

const compactForm = /^[\w-]+\.[\w-]+\.[\w-]+$/

/** They name a key that whoever made the token chose, or change how it is read. RFC 7515 §4.1. */
const refusedParameters = ['crit', 'b64', 'zip', 'jwk', 'jku', 'x5c', 'x5u']

export interface UnverifiedToken {
  readonly text: string
  /** The key that it says it is signed with. */
  readonly keyId: string | undefined
  readonly claims: JWTPayload
}

/** @throws LoginRefused for what is no signed token, or one of a form that nobody honest sends */
export function readToken(text: string): UnverifiedToken {
  if (text.length > maxTokenBytes) throw new LoginRefused(`the token is longer than ${maxTokenBytes} bytes`)
  if (!compactForm.test(text)) throw new LoginRefused('the token is not a signed JSON Web Token')
  if (!isCanonical(text)) throw new LoginRefused("the token's signature is not written as base64url has it")
  const { header, claims } = decode(text)
  const refused = refusedParameters.find(name => Object.hasOwn(header, name))
  if (refused !== undefined) throw new LoginRefused(`the token's header has "${refused}"`)
  if (!isLoginType(header.typ)) throw new LoginRefused("the token's type is not that of a login")
  const { kid } = header
  if (kid !== undefined && typeof kid !== 'string') throw new LoginRefused("the token's kid is not a text")
  return { text, keyId: kid, claims }
}

function decode(text: string) {
  try {
    return { header: decodeProtectedHeader(text), claims: decodeJwt(text) }
  } catch {
    // No cause: it might quote the token.
    throw new LoginRefused("the token's header or claims are not JSON objects")
  }
}

/** The bits behind the last byte are signed by nobody: with others, it would be another token and as good. */
function isCanonical(text: string): boolean {
  const signature = text.slice(text.lastIndexOf('.') + 1)
  return Buffer.from(signature, 'base64url').toString('base64url') === signature
}

/** Issuers sign other things with the same keys: logouts, events, proofs of possession. RFC 8725 §3.11. */
function isLoginType(type: unknown): boolean {
  if (type === undefined) return true
  if (typeof type !== 'string') return false
  const name = type.toLowerCase().replace(/^application\//, '')
  return name === 'at+jwt' || !name.includes('+')
}
