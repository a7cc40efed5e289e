/** What is open to whom, in a line of the log: what is more than meant is seen before somebody finds it. */
import type { AccessOptions } from '../access/options.ts'
import { presetOf } from '../access/policy/presets.ts'
import type { Config } from '../config/config.ts'

export type Openness = Pick<Config, 'upstreams' | 'local' | 'listen' | 'access' | 'policies'>

export interface Announcement {
  readonly message: string
  /** Of the log line. */
  readonly fields: Readonly<Record<string, unknown>>
}

export function openToWhom(config: Openness): Announcement {
  const { upstreams, local, access } = config
  const names = {
    upstreams: upstreams.map(({ options }) => options.registry),
    local: local.map(({ match }) => match),
  }
  const hasLocal = local.length > 0
  if (!access) return { fields: names, message: withoutAccess(hasLocal) }
  const ways = waysIn(config, access)
  const logins = ways.length === 0 ? 'nobody can log in' : `people log in with ${ways.join(', ')}`
  const pushes = hasLocal ? '' : '; nobody may push: no name is local'
  return {
    fields: { ...names, ...restrictions(config, access) },
    message: `${logins}; ${decider(access)}${pushes}`,
  }
}

function withoutAccess(hasLocal: boolean): string {
  return hasLocal
    ? 'anyone who can connect may pull; only this machine may push to local names and delete'
    : 'anyone who can connect may pull; nobody may push: no name is local'
}

function waysIn({ listen }: Openness, { users, oidc }: AccessOptions): string[] {
  const issuers = oidc.map(({ name }) => name).join(' and ')
  return [
    ...(users.length === 0 ? [] : [`passwords (${users.length} ${users.length === 1 ? 'user' : 'users'})`]),
    ...(oidc.length === 0 ? [] : [`tokens of ${issuers}`]),
    ...(listen.some(({ tls }) => tls?.clients) ? ['certificates'] : []),
  ]
}

function decider({ policy, webhook }: AccessOptions): string {
  const { default: usual, rules } = policy
  const count = rules.length === 1 ? '1 rule' : `${rules.length} rules`
  const decides = presetOf(policy) ?? `${count}, otherwise ${usual}`
  return `policy: ${decides}${webhook ? ', and a webhook' : ''}`
}

function restrictions({ upstreams, policies }: Openness, { challenge, health, metrics }: AccessOptions) {
  const served = (access: string) =>
    upstreams.filter(({ options }) => options.access === access).map(({ options }) => options.registry)
  return {
    shared: served('shared'),
    passthrough: served('passthrough'),
    furtherPolicies: [...Object.keys(policies.upstreams), ...Object.keys(policies.namespaces)],
    challenge,
    health,
    metrics,
  }
}
