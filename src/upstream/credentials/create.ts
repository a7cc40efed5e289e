/** From what the configuration says of a credential to what gives it. */
import type { Logger } from '../../observe/log.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { CredentialSource } from '../upstream.ts'
import { acrCredentials } from './acr.ts'
import type { CloudHttp } from './cloud-http.ts'
import type { CredentialProvider } from './credential.ts'
import { DockerConfigCredentials } from './docker-config.ts'
import { ecrCredentials } from './ecr.ts'
import type { Environment } from './environment.ts'
import { ExecCredentials } from './exec.ts'
import { garCredentials } from './gar.ts'
import { noCredentials, staticCredentials } from './static.ts'

export interface CredentialDeps {
  readonly clock: Clock
  readonly log: Logger
  readonly env: Environment
  readonly http: CloudHttp
  /** For the log. */
  readonly upstream: string
}

/** @param base URL of the registry */
export function createCredentials(
  source: CredentialSource | undefined,
  base: URL,
  deps: CredentialDeps,
): CredentialProvider {
  if (!source) return noCredentials
  switch (source.kind) {
    case 'docker':
      return new DockerConfigCredentials(source.path, base.host, deps.clock)
    case 'exec':
      return new ExecCredentials(base.host, source, deps)
    case 'ecr':
      return ecrCredentials(base.hostname, source, deps)
    case 'gar':
      return garCredentials(source, deps)
    case 'acr':
      return acrCredentials(base, source, deps)
    case 'basic':
    case 'token':
      return staticCredentials(source)
  }
}
