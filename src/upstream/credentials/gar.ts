/** Google's registries (gcr.io, pkg.dev): an access token of who we are in Google Cloud, with a user name that says so. */
import { importPKCS8, SignJWT } from 'jose'
import { CloudObject } from './cloud-http.ts'
import { type Credential, type CredentialProvider, CredentialUnavailable } from './credential.ts'
import { type CloudDeps, readSecret, refreshed, variable } from './environment.ts'
import type { Lease } from './refreshing.ts'

export interface GarOptions {
  /** Key of a service account, or configuration of workload identity federation; undefined: GOOGLE_APPLICATION_CREDENTIALS, or the metadata server. */
  readonly file: string | undefined
}

interface Token {
  value: string
  lifeMs: number
}

const readOnly = 'https://www.googleapis.com/auth/cloud-platform.read-only'
/** What impersonation needs. */
const everything = 'https://www.googleapis.com/auth/cloud-platform'
const assertionLifeSeconds = 3_600

export function garCredentials({ file }: GarOptions, deps: CloudDeps): CredentialProvider {
  const fetch = async (): Promise<Lease<Credential>> => {
    const path = file ?? variable(deps.env, 'GOOGLE_APPLICATION_CREDENTIALS')
    const { value, lifeMs } = path === undefined ? await fromMetadata(deps) : await fromFile(path, deps)
    return { value: { kind: 'basic', username: 'oauth2accesstoken', password: value }, lifeMs }
  }
  return refreshed('gar', fetch, deps)
}

/** Of the instance, or of the pod under GKE's workload identity. */
async function fromMetadata({ http, env }: CloudDeps): Promise<Token> {
  const host = variable(env, 'GCE_METADATA_HOST') ?? 'metadata.google.internal'
  const answer = await http.askJson({
    url: `http://${host}/computeMetadata/v1/instance/service-accounts/default/token`,
    headers: { 'metadata-flavor': 'Google' },
    near: true,
  })
  return tokenIn(answer)
}

async function fromFile(path: string, deps: CloudDeps): Promise<Token> {
  const file = parseFile(path, await readSecret(path, "Google's credential file"))
  const type = file.text('type')
  if (type === 'service_account') return fromServiceAccount(file, deps)
  if (type === 'external_account') return fromFederation(file, deps)
  throw new CredentialUnavailable(
    `${path} is of a type that is not known here: expected service_account or external_account`,
  )
}

/** RFC 7523. */
async function fromServiceAccount(file: CloudObject, { http, clock }: CloudDeps): Promise<Token> {
  const url = file.textOr('token_uri', 'https://oauth2.googleapis.com/token')
  const now = Math.floor(clock.now() / 1_000)
  const key = await importPKCS8(file.text('private_key'), 'RS256').catch(() => {
    throw new CredentialUnavailable("the private_key of Google's credential file is none") // no cause: it may quote it
  })
  const assertion = await new SignJWT({ scope: readOnly })
    .setProtectedHeader({ alg: 'RS256', typ: 'JWT', kid: file.textOr('private_key_id', '') })
    .setIssuer(file.text('client_email'))
    .setAudience(url)
    .setIssuedAt(now)
    .setExpirationTime(now + assertionLifeSeconds)
    .sign(key)
  const grant = { grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion }
  return tokenIn(await http.askJson(formOf(url, grant)))
}

/** RFC 8693: the token of another cloud or cluster for one of Google's, and that for one of a service account. */
async function fromFederation(file: CloudObject, deps: CloudDeps): Promise<Token> {
  const impersonated = file.textOr('service_account_impersonation_url', '')
  const grant = {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    requested_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    audience: file.text('audience'),
    subject_token_type: file.text('subject_token_type'),
    subject_token: await subjectToken(file.at('credential_source')),
    scope: impersonated === '' ? readOnly : everything,
  }
  const own = tokenIn(await deps.http.askJson(formOf(file.text('token_url'), grant)))
  return impersonated === '' ? own : impersonate(impersonated, own, deps)
}

async function subjectToken(source: CloudObject): Promise<string> {
  const path = source.textOr('file', '')
  if (path === '') {
    throw new CredentialUnavailable(
      "Google's credential file takes its subject token from elsewhere than a file: use exec with Google's own provider",
    )
  }
  const text = await readSecret(path, 'the subject token')
  const format = source.at('format')
  if (format.textOr('type', 'text') !== 'json') return text
  return parseFile(path, text).text(format.textOr('subject_token_field_name', 'access_token'))
}

async function impersonate(url: string, own: Token, { http, clock }: CloudDeps): Promise<Token> {
  const answer = await http.askJson({
    method: 'POST',
    url,
    headers: { authorization: `Bearer ${own.value}`, 'content-type': 'application/json' },
    body: JSON.stringify({ scope: [readOnly], lifetime: `${assertionLifeSeconds}s` }),
  })
  return { value: answer.text('accessToken'), lifeMs: answer.time('expireTime') - clock.now() }
}

function formOf(url: string, fields: Record<string, string>) {
  const headers = { 'content-type': 'application/x-www-form-urlencoded' }
  return { method: 'POST', url, headers, body: new URLSearchParams(fields).toString() } as const
}

function tokenIn(answer: CloudObject): Token {
  return { value: answer.text('access_token'), lifeMs: answer.number('expires_in') * 1_000 }
}

function parseFile(path: string, text: string): CloudObject {
  try {
    return new CloudObject(path, JSON.parse(text))
  } catch {
    throw new CredentialUnavailable(`${path} is no JSON`) // no cause: a parser's message quotes what it read
  }
}
