/** The policies of a configuration. */
import type { AccessOptions } from '../access/options.ts'
import type { PolicySet } from '../access/policy/policies.ts'
import type { Config } from '../config/config.ts'

export interface WithPolicies extends Pick<Config, 'policies'> {
  readonly access?:
    | (Pick<AccessOptions, 'policy' | 'webhook'> & Partial<Pick<AccessOptions, 'users'>>)
    | undefined
}

/** Undefined while access is not configured. */
export function policySetOf({ access, policies }: WithPolicies): PolicySet | undefined {
  return access && { global: access.policy, ...policies }
}
