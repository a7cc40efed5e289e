/** Access as it is configured at the moment: what lasts over reloads, and what is made anew with each. */
import { Access } from '../access/access.ts'
import { LoginFailures } from '../access/failures.ts'
import { Login } from '../access/login.ts'
import { Issuers } from '../access/oidc/issuers.ts'
import type { AccessOptions, RateOptions } from '../access/options.ts'
import { Passwords } from '../access/passwords/passwords.ts'
import { Policies } from '../access/policy/policies.ts'
import { Rates } from '../access/rates.ts'
import { keysFromSeed, openKeys, type TokenKeys } from '../access/tokens/keys.ts'
import { keptSeed, sharedSeed } from '../access/tokens/seed.ts'
import { Tokens } from '../access/tokens/tokens.ts'
import { Webhook } from '../access/webhook.ts'
import type { SharedCounts } from '../cluster/counts.ts'
import type { Config } from '../config/config.ts'
import { Gate } from '../edge/gate/gate.ts'
import type { Desk } from '../edge/gate/token-desk.ts'
import type { Logger } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import { RegistryError } from '../oci/errors.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Lookup } from '../runtime/lookup.ts'
import type { Layout } from '../store/layout.ts'
import { policySetOf } from './policy-set.ts'

export interface AccessKeeperDeps {
  readonly config: () => Config
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  readonly lookup: Lookup
  readonly counts: SharedCounts
  readonly layout: Layout
}

/** What a configuration with access has. */
interface Kept {
  readonly passwords: Passwords
  readonly failures: LoginFailures
  readonly issuers: Issuers
  readonly webhook: Webhook | undefined
  readonly access: Access
  readonly desk: Desk
}

/** @throws what keeps the signing key from being read or made */
export async function openGate(deps: AccessKeeperDeps): Promise<{ keeper: AccessKeeper; gate: Gate }> {
  const keeper = new AccessKeeper(deps)
  await keeper.renew()
  const gate = new Gate({
    access: () => keeper.access,
    publicUrl: () => deps.config().publicUrl,
    rates: keeper.rates,
    metrics: deps.metrics,
  })
  return { keeper, gate }
}

export class AccessKeeper {
  /** Of requests, by address and by user. */
  readonly rates: Rates
  readonly #deps: AccessKeeperDeps
  #kept: Kept | undefined

  constructor(deps: AccessKeeperDeps) {
    this.#deps = deps
    this.rates = ratesOf(deps)
  }

  /** Undefined: none is configured. */
  get access(): Access | undefined {
    return this.#kept?.access
  }

  /** Where tokens are given out. */
  get desk(): Desk | undefined {
    return this.#kept?.desk
  }

  /** Takes the configuration over: whoever was let in under the old one is asked again. */
  async renew(): Promise<void> {
    const config = this.#deps.config()
    const before = this.#kept
    this.rates.update(config.access?.rates ?? noRates)
    if (!config.access) {
      this.#kept = undefined
      return closeAll(before)
    }
    const keys = await this.#keysOf(config, config.access)
    this.#kept = this.#opened(config, config.access, { keys, before })
    void before?.issuers.close()
    void before?.webhook?.close()
  }

  close(): void {
    this.rates.close()
    closeAll(this.#kept)
  }

  #opened(
    config: Config,
    options: AccessOptions,
    { keys, before }: { keys: TokenKeys; before: Kept | undefined },
  ): Kept {
    const { clock, log, metrics, lookup, counts } = this.#deps
    const failures = before?.failures ?? new LoginFailures(options.logins, { clock, shared: counts })
    const passwords = before?.passwords ?? new Passwords(options.users, { clock, failures })
    failures.update(options.logins)
    passwords.update(options.users)
    const issuers = new Issuers(options.oidc, { clock, log, ...(before ? { before: before.issuers } : {}) })
    const webhook = options.webhook && new Webhook(options.webhook, { lookup, clock, log })
    const tokens = new Tokens({
      keys: () => keys,
      lives: () => options.tokens,
      hashOf: user => passwords.hashOf(user),
      termsOf: provider => issuers.termsOf(provider),
      clock,
    })
    const login = new Login({
      passwords,
      issuers,
      tokens,
      failures,
      clock,
      tell: (method, result) => metrics.auth.inc({ method, result }),
    })
    const access = new Access({
      clock,
      options,
      policies: new Policies(policySetOf(options, config), log),
      webhook,
      identify: (shown, audience) => login.identify(shown, audience),
    })
    return { passwords, failures, issuers, webhook, access, desk: { access, login, tokens } }
  }

  async #keysOf({ replica }: Config, { tokens }: AccessOptions): Promise<TokenKeys> {
    if (tokens.keys.length > 0) return openKeys(tokens.keys)
    return keysFromSeed(replica ? sharedSeed(replica.secret) : await keptSeed(this.#deps.layout))
  }
}

function closeAll(kept: Kept | undefined): void {
  kept?.passwords.close()
  kept?.failures.close()
  void kept?.issuers.close()
  void kept?.webhook?.close()
}

export const noRates: RateOptions = { perAddress: 0, perUser: 0 }

/** Counted by the process that has the client, with all others. */
export function ratesOf({
  config,
  clock,
  counts,
}: Pick<AccessKeeperDeps, 'config' | 'clock' | 'counts'>): Rates {
  return new Rates(config().access?.rates ?? noRates, { clock, shared: counts })
}

/** In a server process: it knows the policies, and whom the primary has let in. */
export function accessOfServer(config: Config, clock: Clock, log: Logger): Access | undefined {
  const { access } = config
  if (!access) return undefined
  return new Access({
    clock,
    options: access,
    policies: new Policies(policySetOf(access, config), log),
    webhook: access.webhook && { peek: () => undefined, decide: thePrimaryDoes },
    identify: thePrimaryDoes,
  })
}

/** Only a server that is stopping comes here: until then the primary is asked whatever is not known. */
function thePrimaryDoes(): Promise<never> {
  const message = 'this process is stopping, and cannot find out any more who may ask: try again'
  return Promise.reject(new RegistryError('UNAVAILABLE', message, { retryAfterMs: 1_000 }))
}
