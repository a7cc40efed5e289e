/** The policies of a configuration. */
import type { AccessOptions } from '../access/options.ts'
import type { PolicySet } from '../access/policy/policies.ts'
import type { Config } from '../config/config.ts'

export interface WithPolicies extends Pick<Config, 'policies'> {
  readonly access?:
    | (Pick<AccessOptions, 'policy' | 'webhook'> & Partial<Pick<AccessOptions, 'users'>>)
    | undefined
}

export function policySetOf(
  access: Pick<AccessOptions, 'policy'>,
  { policies }: Pick<Config, 'policies'>,
): PolicySet {
  return { global: access.policy, ...policies }
}
