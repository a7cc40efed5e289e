/** The services of three clouds that say who somebody is: STS, ECR, metadata servers, token endpoints, ACR's exchange. */
import { createPublicKey } from 'node:crypto'
import { SignatureV4 } from '@smithy/signature-v4'
import { decodeProtectedHeader, jwtVerify } from 'jose'
import { type Answer, answer, json, type Request } from './answer.ts'
import { Sha256 } from './aws-hash.ts'
import { FakeClock } from './clock.ts'
import { Fault, type FaultSpec } from './fault.ts'
import { Listener } from './listener.ts'
import { RequestLog } from './request-log.ts'

const hour = 3_600_000

/** Every secret that it takes or gives holds this, so that a test can look for them everywhere. */
export const planted = 'PLANTEDsecret'

export type FakeCloud = Awaited<ReturnType<typeof startCloud>>

interface Keys {
  AccessKeyId: string
  SecretAccessKey: string
  Token: string | undefined
}

export async function startCloud({ clock = new FakeClock() }: { clock?: FakeClock } = {}) {
  const log = new RequestLog()
  const faults: Fault[] = []
  const now = () => clock.now()
  const listener = new Listener('cloud.test', { log, faults, now })
  const cloud = new Cloud(now)
  listener.handler = request => cloud.handle(request)
  await listener.listen()
  const close = () => listener.close()
  return {
    cloud,
    clock,
    url: `http://127.0.0.1:${listener.port}`,
    host: `127.0.0.1:${listener.port}`,
    /** `POST /ecr`, in order. */
    asked: () => log.list().map(({ method, path }) => `${method} ${path}`),
    requests: () => log.list(),
    clear: () => log.clear(),
    fault: (spec: FaultSpec) => {
      const fault = new Fault(spec, async () => {
        faults.splice(faults.indexOf(fault), 1)
      })
      faults.push(fault)
      return fault
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}

export class Cloud {
  /** Of the environment, known without being asked for. */
  readonly rootKeys: Keys = { AccessKeyId: 'AKIAROOT', SecretAccessKey: `${planted}-root`, Token: undefined }
  /** What AWS and Entra take as proof; a file holds them. */
  webIdentity = `${planted}-web-identity-1`
  podToken = `${planted}-pod-token-1`
  clientSecret = `${planted}-client-secret`
  /** Of the service account whose assertions are taken. */
  publicKey: string | undefined
  /** Audiences for which Entra gives tokens that the registry takes. */
  audiences = ['https://containerregistry.azure.net']
  /** How long an access token of Google is good for. */
  googleLifeMs = hour
  /** As the metadata server does until shortly before the end of one. */
  googleRepeats = false
  /** Passwords and tokens for registries, as they are given out. */
  readonly given: string[] = []
  onGiven: (secret: string) => void = () => {}
  readonly #now: () => number
  readonly #keys = new Map<string, Keys>([[this.rootKeys.AccessKeyId, this.rootKeys]])
  readonly #entra = new Map<string, string>()
  readonly #google = new Set<string>()
  #count = 0

  constructor(now: () => number) {
    this.#now = now
  }

  handle(request: Request): Answer | Promise<Answer> {
    const { method, path } = request
    const tenant = /^\/([^/]+)\/oauth2\/v2\.0\/token$/.exec(path)?.[1]
    if (tenant !== undefined) return this.#login(request, tenant)
    const role = /^\/latest\/meta-data\/iam\/security-credentials\/(.+)$/.exec(path)?.[1]
    if (role !== undefined) return this.#instance(request, () => this.#session())
    const routes: Record<string, () => Answer | Promise<Answer>> = {
      'POST /sts': () => this.#sts(request),
      'POST /ecr': () => this.#password(request, 'AmazonEC2ContainerRegistry_V20150921', 'ecr'),
      'POST /ecr-public': () => this.#password(request, 'SpencerFrontendService', 'ecr-public'),
      'PUT /latest/api/token': () => this.#metadataToken(request),
      'GET /latest/meta-data/iam/security-credentials/': () => this.#instance(request, () => 'pull-role'),
      'GET /v1/credentials': () => this.#container(request),
      'GET /computeMetadata/v1/instance/service-accounts/default/token': () => this.#googleMetadata(request),
      'POST /google/token': () => this.#googleAssertion(request),
      'POST /google/sts': () => this.#googleExchange(request),
      'POST /google/impersonate': () => this.#impersonate(request),
      'GET /metadata/identity/oauth2/token': () => this.#azureMachine(request),
      'POST /oauth2/exchange': () => this.exchange(request),
    }
    return routes[`${method} ${path}`]?.() ?? answer(404, 'not found')
  }

  /** ACR's: a token of Entra for a refresh token of the registry. */
  exchange({ body }: Request): Answer {
    const form = new URLSearchParams(body)
    const audience = this.#entra.get(form.get('access_token') ?? '') ?? ''
    if (form.get('grant_type') !== 'access_token' || !form.get('service')) return json(400, {})
    if (!this.audiences.includes(audience)) return json(401, { errors: [{ code: 'UNAUTHORIZED' }] })
    const exp = Math.floor((this.#now() + 3 * hour) / 1_000)
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const token = `${part({ alg: 'none' })}.${part({ exp, jti: this.#secret('refresh') })}.${planted}${++this.#count}`
    return json(200, { refresh_token: this.#give(token) })
  }

  #secret(what: string): string {
    return `${planted}-${what}-${++this.#count}`
  }

  #give(secret: string): string {
    this.given.push(secret)
    this.onGiven(secret)
    return secret
  }

  #session(): object {
    const id = `ASIA${++this.#count}`
    const keys = { AccessKeyId: id, SecretAccessKey: this.#secret('key'), Token: this.#secret('session') }
    this.#keys.set(id, keys)
    return { Code: 'Success', ...keys, Expiration: new Date(this.#now() + hour).toISOString() }
  }

  async #sts(request: Request): Promise<Answer> {
    const form = new URLSearchParams(request.body)
    const action = form.get('Action') ?? ''
    const isKnown =
      action === 'AssumeRoleWithWebIdentity'
        ? form.get('WebIdentityToken') === this.webIdentity && request.headers.authorization === undefined
        : await this.#isSigned(request, 'sts')
    if (!isKnown || !form.get('RoleArn')?.startsWith('arn:aws:iam::'))
      return json(403, { Error: { Code: 'AccessDenied', Message: `no: ${request.body}` } })
    const { Token, ...keys } = this.#session() as Keys
    const Credentials = { ...keys, SessionToken: Token, Expiration: (this.#now() + hour) / 1_000 }
    return json(200, { [`${action}Response`]: { [`${action}Result`]: { Credentials } } })
  }

  async #password(request: Request, target: string, service: 'ecr' | 'ecr-public'): Promise<Answer> {
    if (request.headers['x-amz-target'] !== `${target}.GetAuthorizationToken`)
      return json(400, { __type: 'UnknownOperationException' })
    if (!(await this.#isSigned(request, service)))
      return json(400, {
        __type: 'com.amazon.coral.service#InvalidSignatureException',
        message: request.body,
      })
    const password = this.#give(this.#secret(service))
    const data = {
      authorizationToken: Buffer.from(`AWS:${password}`).toString('base64'),
      expiresAt: (this.#now() + 12 * hour) / 1_000,
    }
    return json(200, { authorizationData: service === 'ecr' ? [data] : data })
  }

  /** By AWS's own code. */
  async #isSigned(request: Request, service: string): Promise<boolean> {
    const { authorization = '', host = '', 'x-amz-date': date = '' } = request.headers
    const [, id = '', region = '', names = ''] =
      /^AWS4-HMAC-SHA256 Credential=([^/]+)\/\d{8}\/([^/]+)\/[a-z0-9-]+\/aws4_request, SignedHeaders=([^,]+), /.exec(
        authorization,
      ) ?? []
    const keys = this.#keys.get(id)
    if (!keys || keys.Token !== request.headers['x-amz-security-token']) return false
    const signer = new SignatureV4({
      service,
      region,
      sha256: Sha256,
      applyChecksum: false,
      credentials: {
        accessKeyId: id,
        secretAccessKey: keys.SecretAccessKey,
        ...(keys.Token === undefined ? {} : { sessionToken: keys.Token }),
      },
    })
    const headers = Object.fromEntries(
      names.split(';').map(name => [name, String(request.headers[name])] as const),
    )
    const [hostname = '', port] = host.split(':')
    const signed = await signer.sign(
      {
        method: request.method,
        protocol: 'http:',
        hostname,
        ...(port === undefined ? {} : { port: Number(port) }),
        path: request.path,
        query: {},
        headers,
        body: request.body,
      },
      { signingDate: dateOf(String(date)), signableHeaders: new Set(names.split(';')) },
    )
    return signed.headers.authorization === authorization
  }

  #metadataToken({ headers }: Request): Answer {
    const seconds = Number(headers['x-aws-ec2-metadata-token-ttl-seconds'])
    return seconds >= 1 && seconds <= 21_600 ? answer(200, `${planted}-imds`) : answer(400, '')
  }

  #instance({ headers }: Request, give: () => string | object): Answer {
    if (headers['x-aws-ec2-metadata-token'] !== `${planted}-imds`) return answer(401, '')
    const value = give()
    return typeof value === 'string' ? answer(200, value) : json(200, value)
  }

  #container({ headers }: Request): Answer {
    return headers.authorization === this.podToken ? json(200, this.#session()) : answer(401, '')
  }

  #googleToken(give: boolean): string {
    const last = this.given.at(-1)
    if (this.googleRepeats && last !== undefined) return last
    const token = this.#secret('ya29')
    this.#google.add(token)
    return give ? this.#give(token) : token
  }

  #googleMetadata({ headers }: Request): Answer {
    if (headers['metadata-flavor'] !== 'Google') return answer(403, '')
    return json(200, {
      access_token: this.#googleToken(true),
      expires_in: this.googleLifeMs / 1_000,
      token_type: 'Bearer',
    })
  }

  async #googleAssertion({ body, headers }: Request): Promise<Answer> {
    const form = new URLSearchParams(body)
    const assertion = form.get('assertion') ?? ''
    try {
      if (decodeProtectedHeader(assertion).alg !== 'RS256') throw new Error('another algorithm')
      const audience = `http://${headers.host}/google/token`
      const { payload } = await jwtVerify(assertion, createPublicKey(this.publicKey ?? ''), {
        audience,
        currentDate: new Date(this.#now()),
      })
      if (payload.iss !== 'pull@project.test' || typeof payload.scope !== 'string')
        throw new Error('another issuer')
    } catch {
      return json(400, { error: 'invalid_grant', error_description: `no: ${assertion}` })
    }
    return json(200, { access_token: this.#googleToken(true), expires_in: 3_599 })
  }

  #googleExchange({ body }: Request): Answer {
    const form = new URLSearchParams(body)
    if (form.get('subject_token') !== this.webIdentity || !form.get('audience'))
      return json(400, { error: 'invalid_grant' })
    const isWhole = form.get('scope')?.endsWith('/cloud-platform') === false
    return json(200, { access_token: this.#googleToken(isWhole), expires_in: 3_600 })
  }

  #impersonate({ headers }: Request): Answer {
    const token = (headers.authorization ?? '').replace('Bearer ', '')
    if (!this.#google.has(token)) return json(403, { error: { status: 'PERMISSION_DENIED' } })
    const expireTime = new Date(this.#now() + hour).toISOString()
    return json(200, { accessToken: this.#googleToken(true), expireTime })
  }

  #login({ body }: Request, tenant: string): Answer {
    const form = new URLSearchParams(body)
    const isKnown =
      form.get('client_assertion') === this.webIdentity || form.get('client_secret') === this.clientSecret
    if (!isKnown || tenant !== 'tenant-1' || form.get('client_id') !== 'client-1')
      return json(401, { error: 'invalid_client', error_description: `no: ${body}` })
    return this.#entraToken(form.get('scope')?.replace('/.default', '') ?? '')
  }

  #azureMachine({ headers, query }: Request): Answer {
    if (headers.metadata !== 'true') return answer(400, '')
    const id = query.get('client_id')
    if (id !== null && id !== 'client-2') return json(400, { error: 'invalid_request' })
    return this.#entraToken(query.get('resource') ?? '')
  }

  #entraToken(audience: string): Answer {
    const token = this.#secret('entra')
    this.#entra.set(token, audience)
    return json(200, { access_token: token, expires_in: 3_599 })
  }
}

function dateOf(time: string): Date {
  return new Date(time.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'))
}
