/** Pulls with credentials that clouds give out, that end, and of which there are several. */
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { UpstreamConfig } from '../../src/config/config.ts'
import { BasicAuth } from '../fake/auth.ts'
import { readContent } from '../fake/bytes.ts'
import { planted, startCloud } from '../fake/cloud.ts'
import { image } from '../fake/content.ts'
import { errorOf, layerOf, plain, scene } from './scene.ts'

type Credentials = UpstreamConfig['options']['urls'][number]['credentials']

const minute = 60_000
const app = image('app', { layers: [300, 200_000] })
const other = image('other')
const manifest = '/v2/a/manifests/v1'
const blob = `/v2/a/blobs/${layerOf(app, 1).digest}`
const wrong = { kind: 'basic', username: 'eve', password: `${planted}-wrong` } as const
const right = { kind: 'basic', username: 'bob', password: `${planted}-right` } as const
const ecr = { kind: 'ecr', region: 'eu-central-1', roleArn: undefined } as const

const registries = {
  ecr: { host: 'ecr.test', user: 'AWS' },
  gar: { host: 'gar.test', user: 'oauth2accesstoken' },
  acr: { host: 'acr.test', user: '00000000-0000-0000-0000-000000000000' },
  ecrPublic: { host: 'ecrpub.test', user: 'AWS' },
  hub: { host: 'registry.hub.test', user: 'nobody' },
} as const

afterEach(() => {
  vi.unstubAllEnvs()
})

/** A registry that gives `a` and `b` to who has credentials, and a cloud whose passwords it takes. */
async function stage(name: keyof typeof registries, credentials: Credentials) {
  const { host, user } = registries[name]
  const at = await scene({
    upstreams: net => {
      const authRealms = [new URL(net.url('auth.hub.test')).host, new URL(net.url('ecrpub.test')).host]
      net.names.set('public.ecr.aws', [{ address: '127.0.0.1', family: 4 }])
      const url = net.url(host).replace('ecrpub.test', 'public.ecr.aws')
      const options = { access: 'shared', urls: [{ url, credentials }], authRealms } as const
      return [plain(net, { registry: 'cloud.example', options })]
    },
  })
  const running = await startCloud({ clock: at.clock })
  const registry = at.net[name]
  for (const [repository, bundle] of Object.entries({ a: app, b: other })) {
    registry.put(repository, 'v1', bundle)
    registry.makePrivate(repository)
  }
  running.cloud.onGiven = secret => registry.addUser(user, secret)
  at.net.exchange.answer = request =>
    request.path === '/oauth2/exchange' ? running.cloud.exchange(request) : undefined
  const environment = {
    AWS_ACCESS_KEY_ID: 'AKIAROOT',
    AWS_SECRET_ACCESS_KEY: `${planted}-root`,
    AWS_ENDPOINT_URL_ECR: `${running.url}/ecr`,
    AWS_ENDPOINT_URL_ECR_PUBLIC: `${running.url}/ecr-public`,
    GCE_METADATA_HOST: running.host,
    AZURE_POD_IDENTITY_AUTHORITY_HOST: running.url,
  }
  for (const [variable, value] of Object.entries(environment)) vi.stubEnv(variable, value)
  /** What of our secrets shows in what was answered and logged. */
  const expectNoSecrets = async (...paths: readonly string[]) => {
    const said = await Promise.all(['/metrics', ...paths].map(path => at.ask(path)))
    const told = said.map(({ headers, body }) => [headers, body.toString('latin1')])
    expect(JSON.stringify([told, at.layover.lines])).not.toContain(planted)
  }
  const complaints = () =>
    at.layover.lines
      .filter(({ level, msg }) => (level === 'error' || level === 'warn') && msg !== 'request')
      .map(({ msg }) => String(msg))
  return {
    ...at,
    ...running,
    registry,
    revoke: () => registry.addUser(user, `${planted}-nobody-knows`),
    requests: () => at.net.requests({ host }),
    complaints,
    expectNoSecrets,
    async [Symbol.asyncDispose]() {
      await at[Symbol.asyncDispose]()
      await running.close()
    },
  }
}

describe.each([
  ['ecr', ecr, 13 * 60],
  ['gar', { kind: 'gar', file: undefined }, 65],
  ['acr', { kind: 'acr', clientId: undefined, tenant: undefined }, 4 * 60],
] as const)('a registry that takes passwords of its cloud (%s)', (name, credentials, lifeMinutes) => {
  test('is pulled from, and what came is served on when the password is another', async () => {
    await using at = await stage(name, credentials)
    expect((await at.ask(manifest)).status).toBe(200)
    expect((await at.ask(blob)).body.equals(readContent(layerOf(app, 1).content))).toBe(true)
    await at.warm(manifest, blob)
    expect(at.cloud.given).toHaveLength(1)
    at.clock.advance(lifeMinutes * minute)
    const checked = await at.ask(manifest)
    expect(checked.headers['cache-status']).toBe('layover; fwd=stale; fwd-status=304')
    expect(checked.headers.warning).toBeUndefined()
    expect(at.cloud.given).toHaveLength(2)
    expect((await at.ask(blob)).headers['cache-status']).toBe('layover; hit')
    await at.expectNoSecrets(manifest, '/v2/c/manifests/v1')
  })

  test('and no longer takes one before its time is asked once more with a new one', async () => {
    await using at = await stage(name, credentials)
    await at.warm(manifest)
    at.revoke()
    at.clock.advance(10 * minute)
    expect((await at.ask('/v2/b/manifests/v1')).status).toBe(200)
    expect((await at.ask(manifest)).headers.warning).toBeUndefined()
    expect(at.cloud.given).toHaveLength(2)
    expect(at.complaints()).toEqual([])
  })

  test('whose cloud is out of order is told of, with nothing but its status', async () => {
    await using at = await stage(name, credentials)
    at.fault({ kind: 'status', status: 503, times: Number.POSITIVE_INFINITY })
    const answer = await at.ask(manifest)
    expect([answer.status, errorOf(answer).detail?.failure]).toEqual([503, 'credential-refused'])
    expect(at.requests().filter(({ path }) => path.startsWith('/v2/'))).toEqual([])
    expect(at.complaints()).toEqual([
      expect.stringMatching(/^no credential for cloud\.example: 127\.0\.0\.1:\d+ answered 503$/),
    ])
    await at.expectNoSecrets(manifest)
  })
})

test('ECR that says 403 "expired" is asked once more with a new password, also by HEAD', async () => {
  await using at = await stage('ecr', ecr)
  await at.warm(manifest)
  const { auth } = at.net.ecr.habits
  if (!(auth instanceof BasicAuth)) throw new Error('ECR has Basic')
  auth.expiresAtMs = at.clock.now() + minute
  at.cloud.onGiven = secret => {
    at.net.ecr.addUser('AWS', secret)
    auth.expiresAtMs = Number.POSITIVE_INFINITY
  }
  at.clock.advance(10 * minute)
  expect((await at.ask(manifest)).headers.warning).toBeUndefined()
  expect(at.requests().some(({ method, status }) => method === 'HEAD' && status === 403)).toBe(true)
  expect(at.cloud.given).toHaveLength(2)
})

test('a cloud that hangs does not keep a cached tag waiting longer than a check may take', async () => {
  await using at = await stage('ecr', ecr)
  await at.warm(manifest)
  at.clock.advance(13 * 60 * minute)
  const hang = at.fault({ kind: 'hang' })
  const answering = at.ask(manifest)
  await hang.reached
  at.clock.advance(3_000)
  const answer = await answering
  expect([answer.status, answer.headers.warning]).toEqual([200, expect.stringContaining('299')])
  hang.release()
})

test('ECR Public gives tokens for a password, and for another when that is no longer good', async () => {
  await using at = await stage('ecrPublic', ecr)
  await at.warm(manifest)
  expect(at.asked()).toEqual(['POST /ecr-public'])
  at.revoke()
  at.clock.advance(90 * minute)
  expect((await at.ask('/v2/b/manifests/v1')).status).toBe(200)
  expect(at.cloud.given).toHaveLength(2)
  expect(at.complaints()).toEqual([])
})

test('a password that is refused and cannot be renewed is told of once, and not tried again', async () => {
  await using at = await stage('gar', { kind: 'gar', file: undefined })
  await at.warm(manifest)
  at.cloud.googleRepeats = true
  at.revoke()
  at.clock.advance(10 * minute)
  for (const tag of ['v1', 'v2', 'v3']) expect((await at.ask(`/v2/b/manifests/${tag}`)).status).toBe(503)
  expect(at.complaints()).toEqual([expect.stringContaining('refused the credential of oauth2accesstoken')])
  const logins = at.requests().filter(({ path }) => path === '/v2/token')
  expect(logins.map(({ status }) => status)).toEqual([401, 401])
  await at.expectNoSecrets(manifest)
})

test('what may not be pulled does not have a new password fetched each time', async () => {
  await using at = await stage('ecr', ecr)
  at.cloud.onGiven = secret => at.net.ecr.addUser('AWS', secret, { pull: ['a'] })
  await at.warm(manifest)
  at.clock.advance(10 * minute)
  for (const tag of ['v1', 'v2', 'v3']) {
    const answer = await at.ask(`/v2/b/manifests/${tag}`)
    expect([answer.status, errorOf(answer).code]).toEqual([403, 'DENIED'])
  }
  expect(at.cloud.given).toHaveLength(2)
})

describe('of several credentials', () => {
  const named = (at: Awaited<ReturnType<typeof stage>>) =>
    at.complaints().filter(text => text.startsWith('credential 1 of 2'))

  test('the next is tried where the registry refuses one, and preferred from then on', async () => {
    await using at = await stage('ecr', [wrong, right])
    at.registry.addUser('bob', right.password)
    await at.warm(manifest)
    expect((await at.ask('/v2/b/manifests/v1')).status).toBe(200)
    const users = at
      .requests()
      .map(({ headers: { authorization = '' } }) =>
        Buffer.from(authorization.replace('Basic ', ''), 'base64').toString().replace(/:.*/, ''),
      )
    expect(users).not.toContain('eve')
    expect(named(at)).toEqual([expect.stringContaining('was not accepted, the others are tried: ')])
    await at.expectNoSecrets(manifest)
  })

  test('the next is tried where the token realm refuses one', async () => {
    await using at = await stage('hub', [wrong, right])
    at.registry.addUser('bob', right.password)
    expect((await at.ask(manifest)).status).toBe(200)
    expect((await at.ask('/v2/b/manifests/v1')).status).toBe(200)
    const logins = at.net.requests({ host: 'auth.hub.test' }).map(({ query }) => query.get('account'))
    expect(logins).toEqual(['eve', 'bob', 'bob'])
    await at.expectNoSecrets(manifest)
  })

  test('the next is tried where one cannot be had', async () => {
    await using at = await stage('ecr', [ecr, right])
    at.registry.addUser('bob', right.password)
    at.fault({ kind: 'status', status: 503, times: Number.POSITIVE_INFINITY })
    expect((await at.ask(manifest)).status).toBe(200)
    expect(named(at)).toHaveLength(1)
  })

  test('one that may not pull a repository is still the first for others', async () => {
    await using at = await stage('ecr', [{ ...wrong, username: 'ann' }, right])
    at.registry.addUser('ann', wrong.password, { pull: ['b'] })
    at.registry.addUser('bob', right.password, { pull: ['a'] })
    for (const path of [manifest, '/v2/b/manifests/v1']) expect((await at.ask(path)).status).toBe(200)
  })

  test('one that the token realm takes, and that may not pull a repository, is still the first for others', async () => {
    await using at = await stage('hub', [{ ...wrong, username: 'ann' }, right])
    at.registry.addUser('ann', wrong.password, { pull: ['b'] })
    at.registry.addUser('bob', right.password, { pull: ['a', 'b'] })
    for (const path of [manifest, '/v2/b/manifests/v1']) expect((await at.ask(path)).status).toBe(200)
    const logins = at.net.requests({ host: 'auth.hub.test' }).map(({ query }) => query.get('account'))
    expect(logins).toEqual(['ann', 'bob', 'ann'])
  })

  test('one that is rate-limited leaves its pulls to the next', async () => {
    await using at = await stage('hub', [{ ...wrong, username: 'ann' }, right])
    at.registry.addUser('ann', wrong.password)
    at.registry.addUser('bob', right.password)
    at.registry.habits.rateLimit?.spend('ann')
    for (const path of [manifest, '/v2/b/manifests/v1']) expect((await at.ask(path)).status).toBe(200)
    expect(at.registry.habits.rateLimit?.remaining('bob')).toBe(98)
  })

  test('none that is good leaves the answer of one that may become so', async () => {
    await using at = await stage('ecr', [wrong, ecr])
    at.fault({ kind: 'status', status: 503, times: Number.POSITIVE_INFINITY })
    const answer = await at.ask(manifest)
    expect([answer.status, errorOf(answer).detail?.failure]).toEqual([503, 'credential-refused'])
  })
})
