/** The schema of one entry of `access.oidc`. */
import { z } from 'zod'
import { certificatePrefix } from '../../access/caller.ts'
import { holdsSecrets, KeySetInvalid, parseKeySet, signatureAlgorithms } from '../../access/oidc/key-set.ts'
import type { OidcOptions } from '../../access/options.ts'
import { isLoopback } from '../../edge/writes/access.ts'
import { FormInvalid } from '../address-forms.ts'
import { parseCertificates } from '../name-forms.ts'
import { parseDuration } from '../quantity.ts'
import { amount, choice, list, text } from '../values.ts'

/** Clocks that are further apart are to be set right. */
const maxSkewMs = 600_000

/** `7` and `true` are no texts for YAML, and claims are compared by their text. */
const claimValues = z.unknown().transform((input, context) => {
  const values = [input].flat().map(value => (isPlain(value) ? String(value) : ''))
  if (values.length > 0 && !values.includes('')) return values
  const message = 'expected a text, or a list of texts of which the claim has one'
  context.issues.push({ code: 'custom', message, input })
  return z.NEVER
})

const filled = text('text', parseFilled)

export const oidc = z
  .strictObject({
    name: text('name', parseProviderName).meta({
      description:
        'What it is called in policies and in the log, and the user name under which its tokens may come as passwords. **Required.**',
    }),
    issuer: text('URL', parseIssuer).meta({
      description: '`iss` of its tokens, to the letter. **Required.**',
    }),
    audience: z
      .preprocess(
        value => (value === undefined || Array.isArray(value) ? value : [value]),
        z.array(filled).min(1),
      )
      .meta({
        form: 'text, or a list',
        description:
          '`aud` of tokens that are meant for this registry: one of these must be in it. **Required.**',
      }),
    jwks: text('JSON or `file:`', parseJwks).optional().meta({
      fallback: 'fetched from the issuer',
      description: 'Its public keys, a JSON Web Key Set. The issuer is not asked then.',
    }),
    jwksUrl: text('URL', parseKeysUrl).optional().meta({
      fallback: 'what `/.well-known/openid-configuration` of the issuer says',
      description: 'Where its public keys are.',
    }),
    claims: z.record(z.string(), claimValues).prefault({}).meta({
      form: 'claims and their values',
      description:
        'Claims that a token must have: the exact value, or a list of values of which it has one. Of a claim that is a list one element is enough.',
    }),
    user: filled.prefault('sub').meta({ description: 'The claim that names the user.' }),
    algorithms: list(choice(signatureAlgorithms))
      .min(1)
      .prefault([...signatureAlgorithms])
      .meta({ description: 'What tokens may be signed with. Shared secrets are never taken.' }),
    skew: amount('duration', parseSkew)
      .prefault('1m')
      .meta({ description: "How far the issuer's clock and ours may be apart, 10m at most." }),
    ca: text('PEM or `file:`', parseCertificates).optional().meta({
      fallback: 'what Node trusts',
      description: 'Certificates that vouch for the issuer and for where its keys are.',
    }),
  })
  .superRefine(({ jwks, jwksUrl }, context) => {
    if (jwks === undefined || jwksUrl === undefined) return
    context.addIssue({ code: 'custom', path: ['jwksUrl'], message: 'expected `jwks` or `jwksUrl`, not both' })
  })

export type OidcEntry = z.output<typeof oidc>

export function oidcOptions({ user, skew, jwks, jwksUrl, ca, ...entry }: OidcEntry): OidcOptions {
  return { ...entry, userClaim: user, skewMs: skew, jwks, jwksUrl, ca }
}

function isPlain(value: unknown): boolean {
  return ['string', 'number', 'boolean'].includes(typeof value)
}

function parseFilled(given: string): string {
  if (given === '') throw new FormInvalid('a text, not nothing')
  return given
}

function parseProviderName(given: string): string {
  if (given === certificatePrefix)
    throw new FormInvalid(`a name other than ${certificatePrefix}, which stands in front of who showed one`)
  if (/^[a-z0-9][a-z0-9._-]{0,63}$/.test(given)) return given
  throw new FormInvalid('a name such as github-actions: at most 64 lower-case letters, digits and . _ -')
}

/** As it is written: tokens have to have the same. */
function parseIssuer(given: string): string {
  const url = parseGuardedUrl(given, 'https://token.actions.githubusercontent.com')
  if (url.search !== '' || url.hash !== '') throw new FormInvalid('a URL without ? and #')
  return given
}

function parseKeysUrl(given: string): string {
  const url = parseGuardedUrl(given, 'https://gitlab.corp.example/oauth/discovery/keys')
  if (url.hash !== '') throw new FormInvalid('a URL without #')
  return given
}

function parseGuardedUrl(given: string, example: string): URL {
  const url = URL.canParse(given) ? new URL(given) : undefined
  if (!url || !['http:', 'https:'].includes(url.protocol) || url.username !== '' || url.password !== '')
    throw new FormInvalid(`a URL such as ${example}`)
  if (url.protocol === 'http:' && !isLoopback(url.hostname.replace(/^\[(.*)\]$/, '$1')))
    throw new FormInvalid(
      'an https URL: who can change the keys on their way may log in as anybody. http is for this machine alone (localhost, 127.0.0.1)',
    )
  return url
}

function parseJwks(given: string): string {
  try {
    parseKeySet(given)
  } catch (error) {
    if (!(error instanceof KeySetInvalid)) throw error
    throw new FormInvalid(`${error.message}, as text, or file: and the path of such a file`)
  }
  if (holdsSecrets(given)) throw new FormInvalid('public keys only: this key set has private or shared ones')
  return given
}

function parseSkew(given: string): number {
  const skewMs = parseDuration(given)
  if (skewMs !== undefined && skewMs <= maxSkewMs) return skewMs
  throw new FormInvalid('a duration such as 30s or 1m, at most 10m')
}
