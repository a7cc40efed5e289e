/** A credential of ours for a registry, and where it comes from. */
import { createHash } from 'node:crypto'
import { keyedHash } from '../callers.ts'

export type Credential =
  /** `isCallers`: it came with a request, and is not ours. */
  | { kind: 'basic'; username: string; password: string; isCallers?: true }
  /** An OAuth2 refresh token, which only the token realm understands. */
  | { kind: 'identity'; token: string }
  /** Sent to the registry as it is. */
  | { kind: 'bearer'; token: string }

export interface CredentialProvider {
  /** Changes at the latest when a changed credential is used for the first time. */
  readonly version: string
  /** Undefined: none for this repository, ask anonymously. */
  get(repository: string): Promise<Credential | undefined>
  /** The registry, or its realm, took it: the answer was given for it. */
  taken?(): void
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

export function isCallers(credential: Credential | undefined): credential is Credential & { kind: 'basic' } {
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
