/** Who we are in AWS, in the order of its own tools: environment, web identity (IRSA), container (Pod Identity, ECS), instance. */
import ipaddr from 'ipaddr.js'
import type { AwsKeys } from './aws-signature.ts'
import { signed } from './aws-signature.ts'
import type { CloudObject } from './cloud-http.ts'
import { CredentialUnavailable } from './credential.ts'
import { type CloudDeps, readSecret, variable } from './environment.ts'

export interface Place {
  readonly region: string
  /** `amazonaws.com` */
  readonly domain: string
}

const sessionName = 'layover'
/** Where ECS and EKS serve credentials over plain HTTP, besides this machine. */
const containerHosts = ['169.254.170.2', '169.254.170.23', 'fd00:ec2::23']

/** @throws CredentialUnavailable */
export async function awsKeys(deps: CloudDeps, place: Place, roleArn: string | undefined): Promise<AwsKeys> {
  const own = await ownKeys(deps, place)
  return roleArn === undefined ? own : assumed(deps, { place, roleArn, keys: own })
}

async function ownKeys(deps: CloudDeps, place: Place): Promise<AwsKeys> {
  const { env } = deps
  const accessKeyId = variable(env, 'AWS_ACCESS_KEY_ID')
  const secretAccessKey = variable(env, 'AWS_SECRET_ACCESS_KEY')
  if (accessKeyId !== undefined && secretAccessKey !== undefined) {
    return { accessKeyId, secretAccessKey, sessionToken: variable(env, 'AWS_SESSION_TOKEN') }
  }
  const roleArn = variable(env, 'AWS_ROLE_ARN')
  const tokenFile = variable(env, 'AWS_WEB_IDENTITY_TOKEN_FILE')
  if (roleArn !== undefined && tokenFile !== undefined)
    return fromWebIdentity(deps, { place, roleArn, tokenFile })
  const container = containerUrl(deps)
  return container === undefined ? fromInstance(deps) : fromContainer(deps, container)
}

/** The endpoint that the standard variables name for a service (`ECR_PUBLIC`), or AWS's own. */
export function endpointOf({ env }: CloudDeps, service: string, fallback: string): string {
  if (env.AWS_IGNORE_CONFIGURED_ENDPOINT_URLS === 'true') return fallback
  return variable(env, `AWS_ENDPOINT_URL_${service}`) ?? variable(env, 'AWS_ENDPOINT_URL') ?? fallback
}

/** The assertion is a secret, so it is sent in the body. */
async function fromWebIdentity(
  deps: CloudDeps,
  { place, roleArn, tokenFile }: { place: Place; roleArn: string; tokenFile: string },
): Promise<AwsKeys> {
  const body = new URLSearchParams({
    ...actionOf('AssumeRoleWithWebIdentity', roleArn),
    RoleSessionName: variable(deps.env, 'AWS_ROLE_SESSION_NAME') ?? sessionName,
    WebIdentityToken: await readSecret(tokenFile, 'the web identity token'),
  })
  const answer = await deps.http.askJson({
    method: 'POST',
    url: stsUrl(deps, place).href,
    headers: { 'content-type': form },
    body: body.toString(),
  })
  return keysIn(credentialsIn(answer, 'AssumeRoleWithWebIdentity'), 'SessionToken')
}

async function assumed(
  deps: CloudDeps,
  { place, roleArn, keys }: { place: Place; roleArn: string; keys: AwsKeys },
): Promise<AwsKeys> {
  const url = stsUrl(deps, place)
  const body = new URLSearchParams({
    ...actionOf('AssumeRole', roleArn),
    RoleSessionName: sessionName,
  }).toString()
  const post = { url, headers: { 'content-type': form, accept: 'application/json' }, body }
  const headers = signed({ ...post, service: 'sts', region: place.region }, keys, deps.clock.now())
  const answer = await deps.http.askJson({ method: 'POST', url: url.href, headers, body })
  return keysIn(credentialsIn(answer, 'AssumeRole'), 'SessionToken')
}

const form = 'application/x-www-form-urlencoded; charset=utf-8'

function actionOf(action: string, roleArn: string): Record<string, string> {
  return { Action: action, Version: '2011-06-15', RoleArn: roleArn }
}

function stsUrl(deps: CloudDeps, { region, domain }: Place): URL {
  return new URL(endpointOf(deps, 'STS', `https://sts.${region}.${domain}/`))
}

function credentialsIn(answer: CloudObject, action: string): CloudObject {
  return answer.at(`${action}Response`).at(`${action}Result`).at('Credentials')
}

function containerUrl({ env }: CloudDeps): string | undefined {
  const relative = variable(env, 'AWS_CONTAINER_CREDENTIALS_RELATIVE_URI')
  if (relative !== undefined) return `http://169.254.170.2${relative}`
  return variable(env, 'AWS_CONTAINER_CREDENTIALS_FULL_URI')
}

async function fromContainer({ http, env }: CloudDeps, url: string): Promise<AwsKeys> {
  if (!isContainerHost(url)) {
    throw new CredentialUnavailable(
      'AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor an address of this machine or of ECS or EKS',
    )
  }
  const file = variable(env, 'AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE')
  const token =
    file === undefined
      ? variable(env, 'AWS_CONTAINER_AUTHORIZATION_TOKEN')
      : await readSecret(file, "the container's authorization token")
  const headers = token === undefined ? {} : { authorization: token }
  return keysIn(await http.askJson({ url, headers, near: true }), 'Token')
}

function isContainerHost(url: string): boolean {
  if (!URL.canParse(url)) return false
  const { protocol, hostname } = new URL(url)
  if (protocol === 'https:' || hostname === 'localhost') return true
  const address = hostname.replace(/^\[(.*)\]$/, '$1')
  if (!ipaddr.isValid(address)) return false
  return containerHosts.includes(address) || ipaddr.parse(address).range() === 'loopback'
}

/** IMDSv2: a token first, by PUT, which no proxy and no request forged in a URL can do. */
async function fromInstance({ http, env }: CloudDeps): Promise<AwsKeys> {
  if (env.AWS_EC2_METADATA_DISABLED?.toLowerCase() === 'true') {
    throw new CredentialUnavailable(
      'the environment holds no identity of AWS, and AWS_EC2_METADATA_DISABLED keeps off the metadata of the instance',
    )
  }
  const base = metadataUrl(env)
  const { text: token } = await http.ask({
    method: 'PUT',
    url: `${base}/latest/api/token`,
    headers: { 'x-aws-ec2-metadata-token-ttl-seconds': '300' },
    near: true,
  })
  const headers = { 'x-aws-ec2-metadata-token': token.trim() }
  const roles = `${base}/latest/meta-data/iam/security-credentials/`
  const [role = ''] = (await http.ask({ url: roles, headers, near: true })).text.trim().split('\n')
  const answer = await http.askJson({ url: `${roles}${encodeURIComponent(role)}`, headers, near: true })
  return keysIn(answer, 'Token')
}

function metadataUrl(env: CloudDeps['env']): string {
  const isV6 = env.AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE?.toLowerCase() === 'ipv6'
  const fallback = isV6 ? 'http://[fd00:ec2::254]' : 'http://169.254.169.254'
  return (variable(env, 'AWS_EC2_METADATA_SERVICE_ENDPOINT') ?? fallback).replace(/\/$/, '')
}

function keysIn(answer: CloudObject, token: string): AwsKeys {
  return {
    accessKeyId: answer.text('AccessKeyId'),
    secretAccessKey: answer.text('SecretAccessKey'),
    sessionToken: answer.text(token),
  }
}
