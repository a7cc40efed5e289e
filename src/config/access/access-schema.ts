/** The schema of `access`: who may log in, and who may do what. */
import { z } from 'zod'
import type { AccessOptions } from '../../access/options.ts'
import { choice, list } from '../values.ts'
import { oidc, oidcOptions } from './oidc-schema.ts'
import { policy, policyOptions } from './policy-schema.ts'
import { tokenOptions, tokens } from './token-schema.ts'
import {
  htpasswd,
  loginLimits,
  logins,
  rateOptions,
  rates,
  userOptions,
  users,
  usersOnce,
} from './users-schema.ts'
import { webhook, webhookOptions } from './webhook-schema.ts'

const whom = choice(['everyone', 'policy']).default('everyone')

export const access = z
  .strictObject({
    users,
    htpasswd,
    oidc: list(oidc).prefault([]).meta({
      form: 'list',
      description: 'Issuers of OpenID Connect whose tokens are logins, as bearer tokens and as passwords.',
    }),
    policy: policy.prefault('authenticated').meta({
      description:
        '`authenticated`: who has logged in may do everything, nobody else anything; `anonymous-pull`: everybody may pull besides. Or rules in [CEL](../how-to/policies.md).',
    }),
    webhook: webhook.optional().meta({
      form: 'keys',
      fallback: 'the policies alone decide',
      description: 'Asked whether it allows too what the policies allow. Without an answer nobody gets in.',
    }),
    challenge: choice(['bearer', 'basic']).default('bearer').meta({
      description:
        '`bearer`: clients get tokens at `/token`, anonymous ones too. `basic`: they send their password each time; Docker pulls nothing without one then, also where no login is needed.',
    }),
    tokens,
    logins,
    rates,
    health: whom.meta({
      description:
        'Who may read `/livez`, `/readyz` and `/health`: everyone, or whom the policy allows the action `health`.',
    }),
    metrics: whom.meta({ description: 'The same for `/metrics`, with the action `metrics`.' }),
  })
  .superRefine((given, context) => {
    usersOnce(given, context)
    providersOnce(given, context)
  })

export type AccessEntry = z.output<typeof access>

export function accessOptions(entry: AccessEntry): AccessOptions {
  return {
    users: userOptions(entry),
    oidc: entry.oidc.map(oidcOptions),
    policy: policyOptions(entry.policy),
    webhook: entry.webhook && webhookOptions(entry.webhook),
    challenge: entry.challenge,
    tokens: tokenOptions(entry.tokens),
    logins: loginLimits(entry.logins),
    rates: rateOptions(entry.rates),
    health: entry.health,
    metrics: entry.metrics,
  }
}

/** A user name says whether a password is one, or a token of some issuer. */
function providersOnce(
  { oidc: providers, users: given, htpasswd: more = [] }: Pick<AccessEntry, 'oidc' | 'users' | 'htpasswd'>,
  context: z.RefinementCtx,
): void {
  const taken = new Set([...given, ...more].map(({ name }) => name))
  for (const [at, { name }] of providers.entries()) {
    if (taken.has(name)) {
      const message = `expected a name that neither a user nor another issuer has, found ${name}`
      context.addIssue({ code: 'custom', path: ['oidc', at, 'name'], message })
    }
    taken.add(name)
  }
}
