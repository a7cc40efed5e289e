/** Access as it is in force, in the form of its file and without secrets. */
import type { AccessOptions, OidcOptions, PolicyOptions, WebhookOptions } from '../../access/options.ts'
import { formatDuration } from '../quantity.ts'
import { countCertificates, redacted } from '../redacted.ts'

export function effectiveAccess(options: AccessOptions): unknown {
  const { users, oidc, policy, webhook, challenge, tokens, logins, rates, health, metrics } = options
  return {
    users: users.map(({ name }) => ({ name, password: redacted })),
    oidc: oidc.map(effectiveIssuer),
    policy: writtenPolicy(policy),
    ...(webhook ? { webhook: effectiveWebhook(webhook) } : {}),
    challenge,
    tokens: {
      keys: tokens.keys.map(() => ({ key: redacted })),
      life: formatDuration(tokens.lifeMs),
      refresh: formatDuration(tokens.refreshMs),
    },
    logins: {
      perAddress: logins.perAddress,
      perUser: logins.perUser,
      window: formatDuration(logins.windowMs),
    },
    rates,
    health,
    metrics,
  }
}

/** As it may be written; a preset with its rules. */
export function writtenPolicy(options: PolicyOptions): unknown {
  const rules = options.rules.map(({ name, when }) => (name === undefined ? when : { name, when }))
  return { default: options.default, rules }
}

function effectiveIssuer({ userClaim, skewMs, jwks, jwksUrl, ca, ...issuer }: OidcOptions): unknown {
  return {
    ...issuer,
    user: userClaim,
    skew: formatDuration(skewMs),
    ...(jwks === undefined ? {} : { jwks: '<a key set>' }),
    ...(jwksUrl === undefined ? {} : { jwksUrl }),
    ...(ca === undefined ? {} : { ca: countCertificates(ca) }),
  }
}

function effectiveWebhook({ url, token, timeoutMs, allowMs, denyMs, ca }: WebhookOptions): unknown {
  return {
    url,
    ...(token === undefined ? {} : { token: redacted }),
    timeout: formatDuration(timeoutMs),
    allowFor: formatDuration(allowMs),
    denyFor: formatDuration(denyMs),
    ...(ca === undefined ? {} : { ca: countCertificates(ca) }),
  }
}
