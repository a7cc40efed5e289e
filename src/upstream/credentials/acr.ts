/** Azure Container Registry: who we are in Entra ID, exchanged at the registry for a refresh token of some hours. */
import { decodeJwt } from 'jose'
import { type CloudObject, CloudRefused } from './cloud-http.ts'
import type { Credential, CredentialProvider } from './credential.ts'
import { type CloudDeps, readSecret, refreshed, variable } from './environment.ts'
import type { Lease } from './refreshing.ts'

export interface AcrOptions {
  /** Undefined: AZURE_CLIENT_ID, or the only identity of the machine. */
  readonly clientId: string | undefined
  /** Undefined: AZURE_TENANT_ID. */
  readonly tenant: string | undefined
}

/** The user name that makes a refresh token a password. */
const tokenUser = '00000000-0000-0000-0000-000000000000'
const registries = 'https://containerregistry.azure.net'
/** Resource managers, which registries of older rules want a token for; by the registry's domain. */
const managers: Readonly<Record<string, string>> = {
  cn: 'https://management.chinacloudapi.cn',
  us: 'https://management.usgovcloudapi.net',
}
const defaultLifeMs = 3 * 60 * 60_000

/** @param base URL of the registry */
export function acrCredentials(base: URL, options: AcrOptions, deps: CloudDeps): CredentialProvider {
  const fetch = async (): Promise<Lease<Credential>> => {
    const token = await refreshToken(base, options, deps)
    return {
      value: { kind: 'basic', username: tokenUser, password: token },
      lifeMs: lifeOf(token, deps.clock.now()),
    }
  }
  return refreshed(`acr ${options.clientId ?? ''}`, fetch, deps)
}

/** Registries say by policy which of the two audiences they take, and some clouds know only one. */
async function refreshToken(base: URL, options: AcrOptions, deps: CloudDeps): Promise<string> {
  const manager = managers[base.hostname.split('.').at(-1) ?? ''] ?? 'https://management.azure.com'
  try {
    return await exchanged(base, await entraToken(registries, options, deps), options, deps)
  } catch (error) {
    if (!(error instanceof CloudRefused)) throw error
    return exchanged(base, await entraToken(manager, options, deps), options, deps)
  }
}

async function exchanged(
  base: URL,
  accessToken: string,
  options: AcrOptions,
  { http, env }: CloudDeps,
): Promise<string> {
  const tenant = options.tenant ?? variable(env, 'AZURE_TENANT_ID')
  const answer = await http.askJson({
    method: 'POST',
    url: `${base.origin}/oauth2/exchange`,
    headers: form,
    body: new URLSearchParams({
      grant_type: 'access_token',
      service: base.host,
      ...(tenant === undefined ? {} : { tenant }),
      access_token: accessToken,
    }).toString(),
  })
  return answer.text('refresh_token')
}

/** Workload identity, a client secret, or the identity of the machine; by what the environment holds. */
async function entraToken(audience: string, options: AcrOptions, deps: CloudDeps): Promise<string> {
  const { env } = deps
  const clientId = options.clientId ?? variable(env, 'AZURE_CLIENT_ID')
  const tenant = options.tenant ?? variable(env, 'AZURE_TENANT_ID')
  const file = variable(env, 'AZURE_FEDERATED_TOKEN_FILE')
  const secret = variable(env, 'AZURE_CLIENT_SECRET')
  if (clientId === undefined || tenant === undefined) return machineToken(audience, clientId, deps)
  if (file !== undefined) {
    const proof = {
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: await readSecret(file, 'the federated token'),
    }
    return login({ tenant, clientId, audience, proof }, deps)
  }
  if (secret !== undefined)
    return login({ tenant, clientId, audience, proof: { client_secret: secret } }, deps)
  return machineToken(audience, clientId, deps)
}

interface Login {
  tenant: string
  clientId: string
  audience: string
  proof: Record<string, string>
}

async function login(
  { tenant, clientId, audience, proof }: Login,
  { http, env }: CloudDeps,
): Promise<string> {
  const authority = (variable(env, 'AZURE_AUTHORITY_HOST') ?? 'https://login.microsoftonline.com').replace(
    /\/$/,
    '',
  )
  const answer = await http.askJson({
    method: 'POST',
    url: `${authority}/${encodeURIComponent(tenant)}/oauth2/v2.0/token`,
    headers: form,
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      client_id: clientId,
      scope: `${audience}/.default`,
      ...proof,
    }).toString(),
  })
  return tokenIn(answer)
}

async function machineToken(
  resource: string,
  clientId: string | undefined,
  { http, env }: CloudDeps,
): Promise<string> {
  const host = (variable(env, 'AZURE_POD_IDENTITY_AUTHORITY_HOST') ?? 'http://169.254.169.254').replace(
    /\/$/,
    '',
  )
  const query = new URLSearchParams({
    'api-version': '2018-02-01',
    resource,
    ...(clientId === undefined ? {} : { client_id: clientId }),
  })
  const url = `${host}/metadata/identity/oauth2/token?${query.toString()}`
  return tokenIn(await http.askJson({ url, headers: { metadata: 'true' }, near: true }))
}

function tokenIn(answer: CloudObject): string {
  return answer.text('access_token')
}

const form = { 'content-type': 'application/x-www-form-urlencoded' }

function lifeOf(token: string, now: number): number {
  try {
    const { exp } = decodeJwt(token)
    return exp === undefined ? defaultLifeMs : exp * 1_000 - now
  } catch {
    return defaultLifeMs // no JWT
  }
}
