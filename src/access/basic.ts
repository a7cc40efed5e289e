/** Basic credentials (RFC 7617 §2), behind the scheme: users of ours and those of upstreams come that way. */

export interface UserAndPassword {
  readonly user: string
  /** Of a user, or a token of some kind. */
  readonly password: string
}

/** Undefined for what is no base64 of `user:password`: the first colon ends the user. */
export function userAndPassword(encoded: string): UserAndPassword | undefined {
  const text = Buffer.from(encoded, 'base64').toString()
  const colon = text.indexOf(':')
  return colon < 0 ? undefined : { user: text.slice(0, colon), password: text.slice(colon + 1) }
}
