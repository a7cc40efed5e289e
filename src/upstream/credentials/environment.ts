/** What the built-in providers of clouds stand on. */
import { readFile } from 'node:fs/promises'
import type { CloudHttp } from './cloud-http.ts'
import { type Credential, type CredentialProvider, CredentialUnavailable } from './credential.ts'
import { type Lease, Refreshing, type RefreshingDeps } from './refreshing.ts'

export type Environment = Readonly<Record<string, string | undefined>>

export interface CloudDeps extends RefreshingDeps {
  readonly http: CloudHttp
  readonly env: Environment
}

/** The same credential for every repository. */
export function refreshed(
  version: string,
  fetch: () => Promise<Lease<Credential>>,
  deps: RefreshingDeps,
): CredentialProvider {
  const held = new Refreshing(fetch, deps)
  return {
    version,
    get: () => held.get(),
    renewal: { isDue: () => held.isDue, renew: (_, refused) => held.renew(refused) },
  }
}

/** A file that is read anew each time, without the line break at its end. @throws CredentialUnavailable */
export async function readSecret(path: string, what: string): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).trimEnd()
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable'
    throw new CredentialUnavailable(`${what} (${path}) cannot be read: ${code}`)
  }
}

/** A variable that is set and not empty. */
export function variable(env: Environment, name: string): string | undefined {
  const value = env[name]
  return value === '' ? undefined : value
}
