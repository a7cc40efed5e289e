/** Access as it is configured at the moment: what lasts over reloads, and what is made anew with each. */
import { Access } from '../access/access.ts'
import { LoginFailures } from '../access/failures.ts'
import { Login } from '../access/login.ts'
import { Issuers } from '../access/oidc/issuers.ts'
import { Passwords } from '../access/passwords/passwords.ts'
import { Policies } from '../access/policy/policies.ts'
import { openKeys } from '../access/tokens/keys.ts'
import { Tokens } from '../access/tokens/tokens.ts'
import { Webhook } from '../access/webhook.ts'
import type { Redis } from '../cluster/redis.ts'
import type { Config } from '../config/config.ts'
import type { Logger } from '../observe/log.ts'
import type { Clock } from '../runtime/clock.ts'

export interface AccessKeeperDeps {
  readonly config: () => Config
  readonly clock: Clock
  readonly log: Logger
  readonly redis: Redis | undefined
}

/** @throws what keeps the signing key from being read or made */
export async function openAccess(deps: AccessKeeperDeps): Promise<AccessKeeper> {
  const keeper = new AccessKeeper(deps)
  await keeper.renew()
  return keeper
}

export class AccessKeeper {
  readonly #deps: AccessKeeperDeps
  #access: Access | undefined

  constructor(deps: AccessKeeperDeps) {
    this.#deps = deps
  }

  get access(): Access | undefined {
    return this.#access
  }

  /** Takes the configuration over: whoever was let in under the old one is asked again. */
  async renew(): Promise<void> {}

  close(): void {}
}

/** In a server process: it knows the policies, and whom the primary has let in. */
export function accessOfServer(config: Config, clock: Clock, log: Logger): Access | undefined {
  const { access, policies } = config
  if (!access) return undefined
  return new Access({
    clock,
    options: access,
    policies: new Policies(policies, log),
    webhook: undefined,
    identify: () => Promise.reject(new Error('the primary asks who is not known here')),
  })
}
