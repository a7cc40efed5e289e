/** What a client gets when upstream gives no answer: the status table, and a cached tag in its place. */
import { rm } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import type { UpstreamConfig } from '../../src/config/config.ts'
import { Layout } from '../../src/store/layout.ts'
import { image } from '../fake/content.ts'
import type { FaultSpec } from '../fake/fault.ts'
import type { Internet } from '../fake/internet.ts'
import type { RateLimitForm } from '../fake/rate-limit-answers.ts'
import type { UpstreamSetting } from '../support/layover.ts'
import {
  type Answered,
  asked,
  errorOf,
  hub,
  layerOf,
  plain,
  type Scene,
  type SceneSetting,
  scene,
} from './scene.ts'

const app = image('app', { layers: [300, 200_000] })
const minute = 60_000
/** Any other failure than a time-out may take a busy machine longer. */
const quickTimeouts = { connectMs: 5_000, headersMs: 50, revalidateMs: 3_000, idleMs: 50 }

interface Expected {
  status: number
  code?: string
  /** What the message must say besides the upstream's name. */
  says?: string
  failure: string
  retryAfter?: boolean
}

interface Case {
  upstream: (net: Internet) => UpstreamConfig
  /** The repository, as `docker.io` or `plain.example` has it. */
  repository: string
  /** Makes the upstream fail from here on. */
  fail: (net: Internet) => unknown
  expected: Expected
  /** A HEAD can show it, so that a cached tag is served stale for it. */
  stale?: boolean
}

const atPlain = (spec: FaultSpec) => (net: Internet) => net.fault({ host: 'plain.test', ...spec })
const onPlain = { upstream: (net: Internet) => plain(net), repository: 'app' }
const onHub = { upstream: (net: Internet) => hub(net), repository: 'library/app' }
const unavailable = { status: 503, code: 'UNAVAILABLE', retryAfter: true }

const cases: Record<string, Case> = {
  'refuses the connection': {
    ...onPlain,
    fail: atPlain({ kind: 'refuse' }),
    expected: { ...unavailable, failure: 'unreachable', says: 'ECONNREFUSED' },
  },
  'has no address': {
    ...onPlain,
    fail: net => {
      net.names.set('plain.test', 'ENOTFOUND')
      return net.fault({ host: 'plain.test', kind: 'drop' }) // whatever connection is still open
    },
    expected: { ...unavailable, failure: 'unreachable', says: 'ENOTFOUND' },
  },
  'has a name server that does not answer': {
    ...onPlain,
    fail: net => {
      net.names.set('plain.test', 'EAI_AGAIN')
      return net.fault({ host: 'plain.test', kind: 'drop' })
    },
    expected: { ...unavailable, failure: 'unreachable', says: 'EAI_AGAIN' },
  },
  'resets the connection': {
    ...onPlain,
    fail: atPlain({ kind: 'drop', how: 'rst' }),
    expected: { ...unavailable, failure: 'unreachable' },
  },
  'closes the connection': {
    ...onPlain,
    fail: atPlain({ kind: 'drop', how: 'fin' }),
    expected: { ...unavailable, failure: 'unreachable' },
  },
  'answers 500': {
    ...onPlain,
    fail: atPlain({ kind: 'status', status: 500 }),
    expected: { ...unavailable, failure: 'server-error', says: '500' },
  },
  'answers 502 with a page': {
    ...onPlain,
    fail: atPlain({ kind: 'status', status: 502, body: '<html>Bad gateway</html>' }),
    expected: { ...unavailable, failure: 'server-error', says: '502' },
  },
  'answers 503': {
    ...onPlain,
    fail: atPlain({ kind: 'status', status: 503, headers: { 'retry-after': '7' } }),
    expected: { ...unavailable, failure: 'server-error', says: '503' },
  },
  'answers 400 with 10 MiB of text': {
    ...onPlain,
    fail: atPlain({ kind: 'big-error' }),
    expected: { ...unavailable, failure: 'server-error', says: '400' },
  },
  'redirects in a circle': {
    ...onPlain,
    fail: atPlain({ kind: 'redirect', location: request => request.path }),
    expected: { ...unavailable, failure: 'corrupt', says: 'redirect' },
  },
  'is a captive portal': {
    ...onPlain,
    fail: atPlain({ kind: 'html' }),
    expected: { ...unavailable, failure: 'corrupt' },
  },
  hangs: {
    upstream: net => plain(net, { options: { timeouts: quickTimeouts } }),
    repository: 'app',
    fail: atPlain({ kind: 'hang' }),
    expected: { status: 504, code: 'TIMEOUT', retryAfter: true, failure: 'timeout', says: 'timed out' },
    stale: false,
  },
  'answers 404': {
    ...onPlain,
    fail: net => net.plain.removeRepository('app'),
    expected: { status: 404, failure: 'not-found', says: '404' },
  },
  'answers 404 with a page': {
    ...onPlain,
    fail: atPlain({ kind: 'status', status: 404, body: '<html></html>' }),
    expected: { status: 404, failure: 'not-found', says: '404' },
  },
  'answers 401 to a fresh anonymous token': {
    ...onHub,
    fail: net => net.hub.makePrivate('library/app'),
    expected: { status: 404, failure: 'hidden', says: '401' },
  },
  'answers 403 to a fresh anonymous token': {
    ...onHub,
    fail: net => net.fault({ host: 'registry.hub.test', authorized: true, kind: 'status', status: 403 }),
    expected: { status: 404, failure: 'hidden', says: '403' },
  },
  'answers 401 to our own credential': {
    upstream: net => asUser(net, 'bob', 'right'),
    repository: 'library/app',
    fail: net => net.hub.makePrivate('library/app'),
    expected: { status: 403, code: 'DENIED', failure: 'denied', says: '401' },
  },
  'answers 403 to our own credential': {
    upstream: net => asUser(net, 'bob', 'right'),
    repository: 'library/app',
    fail: net => net.fault({ host: 'registry.hub.test', authorized: true, kind: 'status', status: 403 }),
    expected: { status: 403, code: 'DENIED', failure: 'denied', says: '403' },
  },
  'has a realm that refuses our credential': {
    upstream: net => asUser(net, 'bob', 'right'),
    repository: 'library/app',
    fail: net => {
      net.hub.addUser('bob', 'changed')
      return net.fault({ host: 'registry.hub.test', authorized: true, kind: 'status', status: 401 })
    },
    expected: { ...unavailable, failure: 'credential-refused', says: 'bob' },
  },
  'has a realm that is down': {
    ...onHub,
    fail: net => {
      net.fault({ host: 'registry.hub.test', authorized: true, kind: 'status', status: 401 })
      return net.fault({ host: 'auth.hub.test', kind: 'status', status: 500 })
    },
    expected: { ...unavailable, failure: 'server-error', says: '500' },
  },
}

function asUser(net: Internet, username: string, password: string): UpstreamConfig {
  net.hub.addUser('bob', 'right', { pull: [] })
  const credentials = { kind: 'basic', username, password } as const
  return hub(net, {
    options: {
      access: 'shared',
      urls: [{ url: net.url('registry.hub.test'), credentials }],
      authRealms: [new URL(net.url('auth.hub.test')).host],
    },
  })
}

async function world({ upstream, repository }: Case, setting: SceneSetting = {}) {
  const at = await scene({ upstreams: net => [upstream(net)], ...setting })
  const registry = repository === 'app' ? at.net.plain : at.net.hub
  registry.put(repository, 'v1', app)
  return { ...at, name: repository === 'app' ? 'plain.example' : 'docker.io' }
}

describe.each(Object.entries(cases))('upstream %s', (_, given) => {
  const { repository, expected, fail } = given
  const inapplicable = given.stale === false ? ' (not here: needs a time-out, see “a breaker”)' : ''

  test.each([
    ['a manifest by tag', `manifests/v1`, 'MANIFEST_UNKNOWN'],
    ['a manifest by digest', `manifests/${app.digest}`, 'MANIFEST_UNKNOWN'],
    ['a small blob', `blobs/${layerOf(app).digest}`, 'BLOB_UNKNOWN'],
    ['a blob', `blobs/${layerOf(app, 1).digest}`, 'BLOB_UNKNOWN'],
  ])('%s that is not cached', async (_name, operation, unknown) => {
    await using at = await world(given, { realTime: true })
    fail(at.net)
    const answer = await at.ask(`/v2/${repository}/${operation}`)
    expectFailure(answer, { code: unknown, ...expected }, at.name)
  })

  test('a list of tags that is not cached', async () => {
    await using at = await world(given, { realTime: true })
    fail(at.net)
    const answer = await at.ask(`/v2/${repository}/tags/list`)
    expect(answer.status).toBe(expected.status)
    errorOf(answer)
  })

  test.runIf(given.stale ?? true)(`a cached tag is served stale, with a warning${inapplicable}`, async () => {
    await using at = await world(given)
    const path = `/v2/${repository}/manifests/v1`
    await at.warm(path)
    fail(at.net)
    at.clock.advance(10 * minute)
    for (const method of ['GET', 'HEAD', 'GET']) expectStale(await at.ask(path, { method }), at.name)
  })

  test.runIf(given.stale ?? true)(`cached tags are listed stale, with a warning${inapplicable}`, async () => {
    if (expected.status === 404) return // upstream's word that there is nothing is no outage
    await using at = await world(given)
    const path = `/v2/${repository}/tags/list`
    await at.warm(path)
    fail(at.net)
    at.clock.advance(10 * minute)
    const answer = await at.ask(path)
    expect(JSON.parse(answer.body.toString())).toEqual({ name: repository, tags: ['v1'] })
    expect(answer.headers['cache-status']).toMatch(/^layover; fwd=stale; detail="/)
    expect(answer.headers.warning).toMatch(/^299 - "/)
  })
})

function expectFailure(answer: Answered, expected: Expected, upstream: string): void {
  const { status, code, says, failure, retryAfter = false } = expected
  expect(answer.status).toBe(status)
  const error = errorOf(answer)
  expect(error).toMatchObject({ code, detail: { upstream, failure } })
  expect(error.message).toContain(upstream)
  if (says !== undefined) expect(error.message).toContain(says)
  if (retryAfter) expect(Number(answer.headers['retry-after'])).toBeGreaterThanOrEqual(1)
  else expect(answer.headers['retry-after']).toBeUndefined()
  expect(answer.headers['www-authenticate']).toBeUndefined()
  expect(answer.headers['docker-content-digest']).toBeUndefined()
}

function expectStale(answer: Answered, upstream: string): void {
  expect(answer.status).toBe(200)
  expect(answer.headers).toMatchObject({
    'docker-content-digest': app.digest,
    'content-length': String(app.root.body.length),
    age: '600',
  })
  expect(answer.headers['cache-status']).toMatch(/^layover; fwd=stale; detail="/)
  expect(answer.headers.warning).toMatch(/^299 - "served from cache: .+"$/)
  expect(answer.headers.warning).toContain(upstream)
}

describe('corrupt content', () => {
  test.each([
    ['a manifest by digest', `manifests/${app.digest}`, { kind: 'corrupt', at: 100 }],
    ['a manifest by tag', 'manifests/v1', { kind: 'corrupt', at: 100 }],
    ['a manifest by tag whose digest header lies', 'manifests/v1', { kind: 'wrong-digest' }],
    ['a small blob', `blobs/${layerOf(app).digest}`, { kind: 'corrupt', at: 100 }],
    ['a small blob that is too short', `blobs/${layerOf(app).digest}`, { kind: 'short', length: 100 }],
    ['a small blob that is too long', `blobs/${layerOf(app).digest}`, { kind: 'extra', bytes: 5 }],
  ] as const)('%s is 503, is not kept, and the next try is right', async (_, operation, fault) => {
    await using at = await world({
      ...onPlain,
      fail: () => {},
      expected: { status: 503, failure: 'corrupt' },
    })
    const path = `/v2/app/${operation}`
    const spoiled = at.net.fault({ host: 'plain.test', ...fault })
    const answer = await at.ask(path)
    expectFailure(answer, { ...unavailable, failure: 'corrupt' }, 'plain.example')
    await spoiled.off()
    await at.warm(path)
  })

  test('does not take the place of a cached tag', async () => {
    await using at = await world({
      ...onPlain,
      fail: () => {},
      expected: { status: 503, failure: 'corrupt' },
    })
    await at.warm('/v2/app/manifests/v1')
    at.net.plain.put('app', 'v1', image('moved'))
    at.net.fault({ host: 'plain.test', method: 'GET', kind: 'corrupt', at: 100 })
    at.clock.advance(10 * minute)
    expectStale(await at.ask('/v2/app/manifests/v1'), 'plain.example')
  })
})

describe('429', () => {
  const forms: readonly RateLimitForm[] = [
    'hub',
    'hub-unauthenticated',
    'hub-message',
    'hap429',
    'hap429-bare-lf',
    'ghcr',
    'quay',
    'ecr-public-rate',
    'ecr-public-data',
    'http-date',
    'a-day',
  ]
  const limited = (form: RateLimitForm): FaultSpec => ({
    host: 'registry.hub.test',
    path: /manifests|blobs/,
    kind: 'rate-limited',
    form,
  })

  async function hubWorld(setting: Partial<UpstreamSetting> = {}, sceneSetting: SceneSetting = {}) {
    const at = await scene({ upstreams: net => [hub(net, setting)], ...sceneSetting })
    at.net.hub.put('library/app', 'v1', app)
    return at
  }

  test.each(forms)('as %s says it is 503 with Retry-After when nothing is cached', async form => {
    await using at = await hubWorld()
    at.net.fault(limited(form))
    for (const operation of ['manifests/v1', `blobs/${layerOf(app).digest}`]) {
      const answer = await at.ask(`/v2/library/app/${operation}`)
      expectFailure(answer, { ...unavailable, failure: 'rate-limited' }, 'docker.io')
      expect(Number(answer.headers['retry-after'])).toBeLessThanOrEqual(300)
    }
  })

  test.each(forms)('as %s says it is passed on where the policy says so', async form => {
    await using at = await hubWorld({ policy: { rateLimited: 'propagate' } })
    at.net.fault(limited(form))
    const answer = await at.ask('/v2/library/app/manifests/v1')
    expectFailure(
      answer,
      { status: 429, code: 'TOOMANYREQUESTS', retryAfter: true, failure: 'rate-limited' },
      'docker.io',
    )
  })

  test.each(forms)('as %s says it leaves a cached tag stale', async form => {
    await using at = await hubWorld()
    await at.warm('/v2/library/app/manifests/v1')
    at.net.fault(limited(form))
    at.clock.advance(10 * minute)
    expectStale(await at.ask('/v2/library/app/manifests/v1'), 'docker.io')
  })

  test('stops manifest GETs until the pause is over; HEADs and blobs go on', async () => {
    await using at = await hubWorld()
    at.net.hub.habits.rateLimit?.spend('127.0.0.1')
    const manifest = () => at.ask('/v2/library/app/manifests/v1')
    expect((await manifest()).status).toBe(503)
    at.net.clearRequests()
    const paused = await manifest()
    expectFailure(paused, { ...unavailable, failure: 'rate-limited', says: '429' }, 'docker.io')
    expect(at.net.requests()).toEqual([])
    expect((await at.ask(`/v2/library/app/blobs/${layerOf(app).digest}`)).status).toBe(200)
    expect((await at.ask('/v2/library/app/tags/list')).status).toBe(200)
    expect((await at.ask('/v2/library/app/manifests/v1', { method: 'HEAD' })).status).toBe(200)
    expect((await manifest()).status).toBe(503)
    at.clock.advance(7 * 3_600_000)
    expect((await manifest()).status).toBe(200)
  })

  test('a HEAD that shows budget ends the pause', async () => {
    await using at = await hubWorld()
    const { rateLimit } = at.net.hub.habits
    const limit = rateLimit?.limit ?? 0
    rateLimit?.spend('127.0.0.1')
    expect((await at.ask('/v2/library/app/manifests/v1')).status).toBe(503)
    if (rateLimit) rateLimit.limit = limit + 10
    expect((await at.ask('/v2/library/app/manifests/v1')).status).toBe(503)
    await at.ask('/v2/library/app/manifests/v1', { method: 'HEAD' })
    expect((await at.ask('/v2/library/app/manifests/v1')).status).toBe(200)
  })

  test('the abuse limit stops everything', async () => {
    await using at = await hubWorld()
    at.net.fault({ ...limited('hap429'), times: 1 })
    await at.ask('/v2/library/app/manifests/v1')
    at.net.clearRequests()
    for (const operation of ['manifests/v1', `blobs/${layerOf(app).digest}`, 'tags/list']) {
      expect((await at.ask(`/v2/library/app/${operation}`)).status).toBe(503)
    }
    expect(at.net.requests()).toEqual([])
    at.clock.advance(60_000)
    expect((await at.ask('/v2/library/app/manifests/v1')).status).toBe(200)
  })
})

describe('a dead upstream costs time once', () => {
  const path = '/v2/app/manifests/v1'

  async function cached(): Promise<Scene> {
    const at = await scene({ upstreams: net => [plain(net)] })
    at.net.plain.put('app', 'v1', app)
    await at.warm(path)
    at.clock.advance(10 * minute)
    return at
  }

  test('one that hangs is given up after the time for revalidations, and not asked at once again', async () => {
    await using at = await cached()
    const hang = at.net.fault({ host: 'plain.test', kind: 'hang' })
    const asking = [at.ask(path), at.ask(path), at.ask(path)]
    await hang.reached
    at.clock.advance(3_000)
    for (const answer of await Promise.all(asking)) expect(answer.headers.warning).toMatch(/^299 - "/)
    const before = [at.net.requests().length, at.net.connections('plain.test')]
    for (let round = 0; round < 20; round += 1) {
      const stale = await at.ask(path)
      expect([stale.status, stale.headers['docker-content-digest']]).toEqual([200, app.digest])
      expect(stale.headers.warning).toMatch(/^299 - "/)
    }
    expect([at.net.requests().length, at.net.connections('plain.test')]).toEqual(before)
  })

  test('is asked again by itself after its rest, and is well again then', async () => {
    await using at = await cached()
    const hang = at.net.fault({ host: 'plain.test', kind: 'hang' })
    const asking = at.ask(path)
    await hang.reached
    at.clock.advance(3_000)
    await asking
    await hang.off()
    at.clock.advance(5_000)
    const well = await at.ask(path)
    expect([well.status, well.headers.warning]).toEqual([200, undefined])
  })

  test('one that refuses is not asked any more after a few tries', async () => {
    await using at = await cached()
    const refuse = at.net.fault({ host: 'plain.test', kind: 'refuse' })
    for (let round = 0; round < 10; round += 1)
      expect((await at.ask(path)).headers.warning).toMatch(/^299 - "/)
    const lookups = at.net.names.asked.length
    for (let round = 0; round < 10; round += 1)
      expect((await at.ask(path)).headers.warning).toMatch(/^299 - "/)
    const cold = await at.ask('/v2/app/manifests/other')
    expectFailure(cold, { ...unavailable, failure: 'resting' }, 'plain.example')
    expect(at.net.names.asked).toHaveLength(lookups)
    await refuse.off()
    at.clock.advance(5_000)
    expect((await at.ask(path)).headers.warning).toBeUndefined()
  })

  test('a dead CDN leaves the API alone', async () => {
    await using at = await scene({ realTime: true })
    at.net.hub.put('library/app', 'v1', app)
    at.net.fault({ host: 'cdn-a.test', kind: 'refuse' })
    at.net.fault({ host: 'cdn-b.test', kind: 'refuse' })
    for (let round = 0; round < 8; round += 1) {
      const answer = await at.ask(`/v2/library/app/blobs/${layerOf(app).digest}`)
      expect(answer.status).toBe(503)
      expect(errorOf(answer).message).toContain('docker.io')
    }
    const manifest = await at.ask('/v2/library/app/manifests/v1')
    expect([manifest.status, manifest.headers.warning]).toEqual([200, undefined])
    expect(asked(at.net, 'registry.hub.test').at(-1)).toBe(
      'GET registry.hub.test /v2/library/app/manifests/v1',
    )
  })
})

describe('an image manifest whose layers are gone', () => {
  test('is 503 and not stale while upstream is down, since podman would stay with it', async () => {
    await using at = await scene({ upstreams: net => [plain(net)] })
    at.net.plain.put('app', 'v1', app)
    const layer = layerOf(app, 1).digest
    await at.warm('/v2/app/manifests/v1', `/v2/app/blobs/${layer}`)
    await at.layover.stop() // what was answered is on disk from then on
    await rm(new Layout(at.layover.storePath).cached(layer))
    await at.layover.restart()
    at.net.fault({ host: 'plain.test', kind: 'refuse' })
    at.clock.advance(10 * minute)
    const answer = await at.ask('/v2/app/manifests/v1')
    expect(answer.status).toBe(503)
    expect(answer.headers.warning).toBeUndefined()
    expect(errorOf(answer).message).toContain('plain.example')
  })

  test('is served as long as its layers were never here: the client may have them', async () => {
    await using at = await scene({ upstreams: net => [plain(net)] })
    at.net.plain.put('app', 'v1', app)
    await at.warm('/v2/app/manifests/v1')
    at.net.fault({ host: 'plain.test', kind: 'refuse' })
    at.clock.advance(10 * minute)
    expectStale(await at.ask('/v2/app/manifests/v1'), 'plain.example')
  })

  test('is served from here while upstream answers, and its layer is fetched again', async () => {
    await using at = await scene({ upstreams: net => [plain(net)] })
    at.net.plain.put('app', 'v1', app)
    const layer = layerOf(app, 1).digest
    await at.warm('/v2/app/manifests/v1', `/v2/app/blobs/${layer}`)
    await at.layover.stop() // what was answered is on disk from then on
    await rm(new Layout(at.layover.storePath).cached(layer))
    await at.layover.restart()
    expect((await at.ask('/v2/app/manifests/v1')).status).toBe(200)
    const again = await at.ask(`/v2/app/blobs/${layer}`)
    expect([again.status, again.body.length]).toEqual([200, 200_000])
  })
})

test('a refused credential is told once in the log, in words to act on, and not tried again', async () => {
  await using at = await scene({ upstreams: net => [asUser(net, 'bob', 'wrong')] })
  at.net.hub.put('library/app', 'v1', app)
  for (let round = 0; round < 5; round += 1) {
    expect((await at.ask('/v2/library/app/manifests/v1')).status).toBe(503)
  }
  const told = at.layover.lines.filter(({ level }) => level === 'error')
  expect(told).toHaveLength(1)
  expect(told[0]).toMatchObject({
    upstream: 'docker.io',
    user: 'bob',
    msg: expect.stringContaining('upstreams.yaml'),
  })
  expect(at.net.requests({ host: 'auth.hub.test' })).toHaveLength(1)
})
