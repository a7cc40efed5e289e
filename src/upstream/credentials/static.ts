/** A credential written in the configuration. */
import type { CredentialSource } from '../upstream.ts'
import { type Credential, type CredentialProvider, fingerprint } from './credential.ts'

export function staticCredentials(
  source: CredentialSource & { kind: 'basic' | 'token' },
): CredentialProvider {
  const credential: Credential =
    source.kind === 'token' ? { kind: 'bearer', token: source.token } : { ...source, kind: 'basic' }
  return { version: fingerprint(credential), get: async () => credential }
}

export const noCredentials: CredentialProvider = { version: 'anonymous', get: async () => undefined }
