/** Amazon ECR, private and public: a password of 12 hours for who we are in AWS. */
import { awsKeys, endpointOf, type Place } from './aws-identity.ts'
import { signed } from './aws-signature.ts'
import { type Credential, type CredentialProvider, CredentialUnavailable } from './credential.ts'
import { type CloudDeps, refreshed } from './environment.ts'
import type { Lease } from './refreshing.ts'

export interface EcrOptions {
  /** Undefined: the one in the registry's name. */
  readonly region: string | undefined
  /** A role that is assumed first. */
  readonly roleArn: string | undefined
}

interface Service extends Place {
  /** URL of the API. */
  readonly url: string
  /** As signatures and the variables of endpoints name it. */
  readonly name: 'ecr' | 'ecr-public'
  readonly target: string
}

/** As AWS's own credential helper has it. */
const privateHost =
  /^(?<account>\d{12})\.dkr(?<dual>[.-])ecr(?<fips>-fips)?\.(?<region>[a-z0-9][a-z0-9_-]*)\.(?<domain>amazonaws\.(?:com(?:\.cn)?|eu)|on\.(?:aws|amazonwebservices\.com\.cn)|sc2s\.sgov\.gov|c2s\.ic\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov)$/
const publicHosts = new Set(['public.ecr.aws', 'ecr-public.aws.com'])
/** The only region that gives out passwords for ECR Public. */
const publicRegion = 'us-east-1'
/** As AWS's own credential helper does: at half of its life. */
const aheadMs = 6 * 60 * 60_000

/** @param host of the registry's URL, without a port */
export function ecrCredentials(host: string, options: EcrOptions, deps: CloudDeps): CredentialProvider {
  return refreshed(`ecr ${options.roleArn ?? ''}`, () => password(host, options, deps), deps)
}

async function password(host: string, options: EcrOptions, deps: CloudDeps): Promise<Lease<Credential>> {
  const service = serviceOf(host, options, deps)
  const keys = await awsKeys(deps, service, options.roleArn)
  const now = deps.clock.now()
  const url = new URL(service.url)
  const headers = {
    'content-type': 'application/x-amz-json-1.1',
    'x-amz-target': `${service.target}.GetAuthorizationToken`,
  }
  const post = { url, headers, body: '{}', service: service.name, region: service.region }
  const answer = await deps.http.askJson({
    method: 'POST',
    url: url.href,
    headers: signed(post, keys, now),
    body: post.body,
  })
  const given = answer.at('authorizationData')
  const [, username, secret] =
    /^([^:]+):(.+)$/s.exec(Buffer.from(given.text('authorizationToken'), 'base64').toString('utf8')) ?? []
  if (username === undefined || secret === undefined) {
    throw new CredentialUnavailable(
      `${url.host} answered with an authorizationToken that is no user and password`,
    )
  }
  return {
    value: { kind: 'basic', username, password: secret },
    lifeMs: given.time('expiresAt') - now,
    aheadMs,
  }
}

/** @throws CredentialUnavailable for a registry that neither its name nor a written region makes one of AWS */
export function serviceOf(host: string, { region }: EcrOptions, deps: CloudDeps): Service {
  if (publicHosts.has(host)) {
    const fallback = `https://api.ecr-public.${publicRegion}.amazonaws.com/`
    return {
      url: endpointOf(deps, 'ECR_PUBLIC', fallback),
      name: 'ecr-public',
      target: 'SpencerFrontendService',
      region: publicRegion,
      domain: 'amazonaws.com',
    }
  }
  const known = privateHost.exec(host)?.groups
  const where = region ?? known?.region
  if (where === undefined) {
    throw new CredentialUnavailable(
      `${host} is no name of Amazon ECR: where its password is to go there all the same, write ecr: {region: …}`,
    )
  }
  const { api, domain } = namesOf({ ...known, region: where })
  return {
    url: endpointOf(deps, 'ECR', `https://${api}/`),
    name: 'ecr',
    target: 'AmazonEC2ContainerRegistry_V20150921',
    region: where,
    domain,
  }
}

interface HostParts {
  region: string
  domain?: string
  fips?: string
  dual?: string
}

/** Which API belongs to which registry, and the domain of the other services of that partition. */
function namesOf({ region, domain = domainOf(region), fips = '', dual = '.' }: HostParts): {
  api: string
  domain: string
} {
  if (dual === '-' || domain.startsWith('on.')) {
    const isChina = domain.endsWith('.cn')
    const api = isChina ? 'api.amazonwebservices.com.cn' : 'api.aws'
    return { api: `ecr${fips}.${region}.${api}`, domain: isChina ? 'amazonaws.com.cn' : 'amazonaws.com' }
  }
  // FIPS has no `api.` in the commercial and the government partition.
  return { api: `${fips && domain === 'amazonaws.com' ? '' : 'api.'}ecr${fips}.${region}.${domain}`, domain }
}

function domainOf(region: string): string {
  if (region.startsWith('cn-')) return 'amazonaws.com.cn'
  return region.startsWith('eusc-') ? 'amazonaws.eu' : 'amazonaws.com'
}
