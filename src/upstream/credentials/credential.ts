/** A credential of ours for a registry, and where it comes from. */
import { createHash } from 'node:crypto'
import { keyedHash } from '../auth/callers.ts'

export type Credential =
  /** `isCallers`: it came with a request, and is not ours. */
  | { kind: 'basic'; username: string; password: string; isCallers?: true }
  /** An OAuth2 refresh token, which only the token realm understands. */
  | { kind: 'identity'; token: string }
  /** Sent to the registry as it is. */
  | { kind: 'bearer'; token: string }

export interface CredentialProvider {
  /**
   * Who we are, and not with which token: it stays the same when a token is renewed, and is the same for all
   * processes and replicas. Changes at the latest when a changed account is used for the first time.
   */
  readonly version: string
  /**
   * Undefined: none for this repository, ask anonymously.
   * @throws CredentialUnavailable
   */
  get(repository: string): Promise<Credential | undefined>
  /** Of those that expire. */
  readonly renewal?: Renewal
  /** The registry, or its realm, took it: the answer was given for it. */
  taken?(): void
}

export interface Renewal {
  /** It was fetched long enough ago that a refusal may mean that it has expired. */
  isDue(repository: string): boolean
  /**
   * What to try in place of one that was refused; undefined: there is none.
   * @throws CredentialUnavailable
   */
  renew(repository: string, refused: Credential): Promise<Credential | undefined>
}

/** Its message is for the log: it names who did not give one and why, and quotes nothing of what was said. */
export class CredentialUnavailable extends Error {
  override readonly name: string = 'CredentialUnavailable'
}

/** Tells credentials apart without keeping them. */
export function fingerprint(credential: Credential | undefined): string {
  if (!credential) return 'anonymous'
  if (isCallers(credential)) return keyedHash(credential.username, credential.password)
  return createHash('sha256')
    .update(JSON.stringify(Object.entries(credential)))
    .digest('hex')
    .slice(0, 32)
}

type CallersCredential = Credential & { kind: 'basic'; isCallers: true }

export function isCallers(credential: Credential | undefined): credential is CallersCredential {
  return credential?.kind === 'basic' && credential.isCallers === true
}

/** Who it is, for metrics and messages; never the secret. */
export function nameOf(credential: Credential | undefined): string {
  if (!credential) return 'anonymous'
  return credential.kind === 'basic' ? credential.username : 'token'
}

export function basicHeader({ username, password }: { username: string; password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}
