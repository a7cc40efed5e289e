/** Who may see what is here, and what is fetched once for all who want it. */
import { describe, expect, test } from 'vitest'
import { Containerd } from '../clients/containerd.ts'
import { readContent } from '../fake/bytes.ts'
import { image } from '../fake/content.ts'
import type { Internet } from '../fake/internet.ts'
import { type Answered, asked, errorOf, hub, layerOf, plain, type Scene, scene } from './scene.ts'

const MiB = 1024 * 1024
const app = image('app', { layers: [300, 200_000] })
const layer = layerOf(app, 1)
const bytes = readContent(layer.content)
const blobOf = (repository: string) => `/v2/${repository}/blobs/${layer.digest}`
const manifestOf = (repository: string) => `/v2/${repository}/manifests/${app.digest}`

/** Our credential may pull `a` and `b`, but not `c`. */
function ecr(net: Internet) {
  net.ecr.addUser('AWS', 'right', { pull: ['a', 'b'] })
  for (const repository of ['a', 'b', 'c']) net.ecr.makePrivate(repository)
  const credentials = { kind: 'basic', username: 'AWS', password: 'right' } as const
  const options = { access: 'shared', urls: [{ url: net.url('ecr.test'), credentials }] } as const
  return plain(net, { registry: 'ecr.example', options })
}

describe('an upstream that is wrong about a blob of another', () => {
  async function world() {
    const options = { access: 'shared' } as const
    const at = await scene({ upstreams: net => [plain(net, { options }), hub(net, { isDefault: false })] })
    at.net.hub.put('library/a', 'v1', app)
    at.net.plain.put('b', 'v1', app)
    return { at, theirs: blobOf('docker.io/library/a') }
  }
  const size = {
    kind: 'headers',
    set: { 'content-length': '5' },
    host: 'plain.test',
    method: 'HEAD',
  } as const

  test.each([
    'GET',
    'HEAD',
  ])('by its size, asked with %s, is not believed and costs nobody the bytes', async method => {
    const { at, theirs } = await world()
    await using _ = at
    await at.warm(theirs)
    const lie = at.net.fault(size)
    expect((await at.ask(blobOf('b'), { method })).status).toBe(503)
    lie.release()
    for (const path of [theirs, blobOf('b')]) expect((await at.ask(path)).body.equals(bytes)).toBe(true)
    expect(at.net.requests({ method: 'GET', path: /blobs/ })).toEqual([])
  })

  test('is asked again when the bytes that came show it', async () => {
    const { at, theirs } = await world()
    await using _ = at
    const lie = at.net.fault(size)
    expect((await at.ask(blobOf('b'), { method: 'HEAD' })).headers['content-length']).toBe('5')
    await at.warm(theirs)
    expect((await at.ask(blobOf('b'))).status).toBe(503)
    lie.release()
    for (const path of [theirs, blobOf('b')]) expect((await at.ask(path)).body.equals(bytes)).toBe(true)
  })

  test('and sends all who ask to a page to log in at does not give it away', async () => {
    const { at, theirs } = await world()
    await using _ = at
    await at.warm(theirs)
    const location = `${at.net.url('plain.test')}/login`
    at.net.fault({ kind: 'redirect', location, host: 'plain.test', path: /blobs/ })
    at.net.fault({ kind: 'html', host: 'plain.test', path: /login/ })
    const answer = await at.ask(blobOf('other'))
    expect([answer.status, errorOf(answer).code]).toEqual([503, 'UNAVAILABLE'])
  })
})

describe('in an upstream with our credentials', () => {
  async function world() {
    const at = await scene({ upstreams: net => [ecr(net)] })
    at.net.ecr.put('a', 'v1', app)
    await at.warm(blobOf('a'), manifestOf('a'))
    return at
  }

  test("a cached blob is given to another repository on upstream's word alone, without its bytes", async () => {
    await using at = await world()
    at.net.ecr.put('b', 'v1', app)
    const answer = await at.ask(blobOf('b'))
    expect(answer.body.equals(bytes)).toBe(true)
    const received = at.net.requests().reduce((sum, request) => sum + request.bodyBytes, 0)
    expect(received).toBeLessThan(1_000)
    await at.warm(blobOf('b'))
    expect((await at.ask(blobOf('b'))).status).toBe(200)
    expect(at.net.requests()).toEqual([])
  })

  test.each([
    'GET',
    'HEAD',
  ])('%s in a repository that does not hold it is 404, bytes here or not', async method => {
    await using at = await world()
    at.net.ecr.put('b', 'v1', image('other'))
    for (const path of [blobOf('b'), manifestOf('b')]) {
      const answer = await at.ask(path, { method })
      expect([answer.status, answer.headers['docker-content-digest']]).toEqual([404, undefined])
      expect(answer.body.includes(bytes.subarray(0, 100))).toBe(false)
    }
  })

  test.each(['GET', 'HEAD'])('%s in a repository that our credential may not pull is 403', async method => {
    await using at = await world()
    at.net.ecr.put('c', 'v1', app)
    for (const path of [blobOf('c'), manifestOf('c')]) {
      const answer = await at.ask(path, { method })
      expect([path, answer.status]).toEqual([path, 403])
      expect(answer.body.includes(bytes.subarray(0, 100))).toBe(false)
    }
  })

  test('a range of it is not given either', async () => {
    await using at = await world()
    at.net.ecr.put('c', 'v1', app)
    for (const range of ['bytes=0-9', 'bytes=0-', 'bytes=-9', 'bytes=0-1,5-6']) {
      expect((await at.ask(blobOf('c'), { headers: { range } })).status).toBe(403)
    }
  })

  test('a manifest that lists it proves nothing', async () => {
    await using at = await world()
    at.net.ecr.put('b', 'v1', { ...app, blobs: [] })
    expect((await at.ask('/v2/b/manifests/v1')).status).toBe(200)
    expect((await at.ask(blobOf('b'))).status).toBe(404)
  })

  test("a cached manifest is given to another repository on upstream's word", async () => {
    await using at = await world()
    at.net.ecr.put('b', 'v1', app)
    const answer = await at.ask(manifestOf('b'))
    expect(answer.body.equals(app.root.body)).toBe(true)
    expect(asked(at.net).filter(line => line.startsWith('GET'))).toEqual([])
  })
})

describe('in a public upstream', () => {
  test('a blob first fetched anonymously is visible wherever a manifest lists it', async () => {
    await using at = await scene()
    at.net.hub.put('library/a', 'v1', app)
    at.net.hub.put('library/b', 'v1', app)
    await at.warm('/v2/a/manifests/v1', blobOf('a'))
    await at.ask('/v2/b/manifests/v1')
    at.net.clearRequests()
    for (const method of ['GET', 'HEAD']) {
      const answer = await at.ask(blobOf('b'), { method })
      expect([answer.status, answer.headers['cache-status']]).toEqual([200, 'layover; hit'])
    }
    expect(at.net.requests()).toEqual([])
  })

  test('without such a manifest upstream is asked', async () => {
    await using at = await scene()
    at.net.hub.put('library/a', 'v1', app)
    at.net.hub.put('library/b', 'v1', image('other'))
    await at.warm(blobOf('a'))
    expect((await at.ask(blobOf('b'))).status).toBe(404)
  })

  test('what came with a credential is not public, even there', async () => {
    await using at = await scene({
      upstreams: net => {
        net.hub.addUser('bob', 'right', { pull: ['library/a', 'library/b'] })
        net.hub.makePrivate('library/a')
        const credentials = { kind: 'basic', username: 'bob', password: 'right' } as const
        const urls = [{ url: net.url('registry.hub.test'), credentials }]
        return [hub(net, { options: { urls, authRealms: [new URL(net.url('auth.hub.test')).host] } })]
      },
    })
    at.net.hub.put('library/a', 'v1', app)
    at.net.hub.put('library/b', 'v1', { ...app, blobs: [] })
    await at.warm(blobOf('a'), '/v2/b/manifests/v1')
    expect((await at.ask(blobOf('b'))).status).toBe(404)
  })
})

describe('50 clients at once', () => {
  const big = image('big', { layers: [3 * MiB] })
  const path = `/v2/big/blobs/${layerOf(big).digest}`

  async function world() {
    const at = await scene()
    at.net.hub.put('library/big', 'v1', big)
    return at
  }

  test('on a cold blob cause one GET and one token', async () => {
    await using at = await world()
    const answers = await Promise.all(Array.from({ length: 50 }, () => at.ask(path)))
    const whole = readContent(layerOf(big).content)
    for (const { status, body } of answers) expect([status, body.equals(whole)]).toEqual([200, true])
    expect(at.net.requests({ host: 'auth.hub.test' })).toHaveLength(1)
    const fetched = at.net.requests({ path: /^\/blobs\// })
    expect(fetched.map(({ bodyBytes }) => bodyBytes)).toEqual([3 * MiB])
    const outcomes = new Set(answers.map(({ headers }) => headers['cache-status']))
    expect([...outcomes].every(text => /fwd=miss|hit/.test(String(text)))).toBe(true)
  })

  test('on a cold tag cause one GET and one token', async () => {
    await using at = await world()
    const hang = at.net.fault({ host: 'registry.hub.test', kind: 'hang' })
    const asking = Array.from({ length: 50 }, () => at.ask('/v2/big/manifests/v1'))
    await hang.reached
    hang.release()
    for (const { body } of await Promise.all(asking)) expect(body.equals(big.root.body)).toBe(true)
    expect(at.net.requests({ host: 'auth.hub.test' })).toHaveLength(1)
    const granted = at.net.requests({ path: /manifests/ }).filter(({ status }) => status === 200)
    expect(granted).toHaveLength(1)
  })

  test('on different blobs of a repository cause one token', async () => {
    await using at = await scene()
    const wide = image('wide', { layers: Array.from({ length: 50 }, (_, number) => 1_000 + number) })
    at.net.hub.put('library/wide', 'v1', wide)
    const answers = await Promise.all(wide.blobs.map(({ digest }) => at.ask(`/v2/wide/blobs/${digest}`)))
    for (const { status } of answers) expect(status).toBe(200)
    expect(at.net.requests({ host: 'auth.hub.test' })).toHaveLength(1)
  })

  test('on what is not there cause one request, and each gets the 404', async () => {
    await using at = await scene({ upstreams: net => [plain(net)] })
    const hang = at.net.fault({ host: 'plain.test', kind: 'hang' })
    const asking = Array.from({ length: 50 }, () => at.ask('/v2/app/manifests/v1'))
    await hang.reached
    hang.release()
    for (const { status } of await Promise.all(asking)) expect(status).toBe(404)
    expect(at.net.requests()).toHaveLength(1)
  })

  test('that pull an image with containerd get each object from upstream once', async () => {
    await using at = await world()
    const pulls = Array.from({ length: 50 }, () =>
      new Containerd({ hosts: [at.layover.url], registry: 'docker.io' }).pull('library/big', 'v1'),
    )
    for (const { digest } of await Promise.all(pulls)) expect(digest).toBe(big.digest)
    const gets = at.net
      .requests({ method: 'GET' })
      .filter(({ host, status }) => host !== 'auth.hub.test' && status === 200)
      .map(({ path: each }) => each)
    expect(gets).toEqual([...new Set(gets)])
  })
})

describe('a denial ends only its own waiter', () => {
  const big = image('big', { layers: [4 * MiB] })
  const digest = layerOf(big).digest
  const whole = readContent(layerOf(big).content)
  const path = (repository: string) => `/v2/${repository}/blobs/${digest}`

  async function world(): Promise<Scene> {
    const at = await scene({ upstreams: net => [ecr(net)] })
    for (const repository of ['a', 'b', 'c']) at.net.ecr.put(repository, 'v1', big)
    return at
  }

  const right = ({ status, body }: Answered) => status === 200 && body.equals(whole)

  test('who joins a flight and is denied gets 403, and the others everything', async () => {
    await using at = await world()
    const stall = at.net.fault({ host: 'cdn-a.test', method: 'GET', kind: 'stall', at: MiB, times: 1 })
    const first = at.ask(path('a'))
    await stall.reached
    const denied = await at.ask(path('c'))
    expect(denied.status).toBe(403)
    expect(errorOf(denied).code).toBe('DENIED')
    const joined = at.ask(path('b'))
    await at.net.arrived({ method: 'HEAD', path: /^\/v2\/b\/blobs/ })
    stall.release()
    expect(right(await first)).toBe(true)
    expect(right(await joined)).toBe(true)
    const gets = at.net
      .requests({ host: 'cdn-a.test', method: 'GET' })
      .filter(({ bodyBytes }) => bodyBytes > 1)
    expect(gets).toHaveLength(1)
  })

  test('who starts a flight and is denied gets 403, and who joined it gets everything', async () => {
    await using at = await world()
    const hang = at.net.fault({ host: 'ecr.test', method: 'GET', path: /^\/v2\/c\/blobs/, kind: 'hang' })
    const denied = at.ask(path('c'))
    await hang.reached
    const joined = at.ask(path('a'))
    await at.net.arrived({ method: 'HEAD', path: /^\/v2\/a\/blobs/ })
    hang.release()
    expect((await denied).status).toBe(403)
    expect(right(await joined)).toBe(true)
  })
})

describe('allow and deny patterns', () => {
  const operations = [
    'manifests/v1',
    `manifests/${app.digest}`,
    `blobs/${layer.digest}`,
    'tags/list',
    `referrers/${app.digest}`,
  ]
  const rules = { allow: ['library/**'], deny: ['library/secret', 'library/*-private'] }

  test.each([
    'library/secret',
    'library/app-private',
    'team/app',
    'team/library/app',
  ])('%s is refused on every route before any network', async name => {
    await using at = await scene({ upstreams: net => [hub(net, { options: rules })] })
    at.net.hub.put(name, 'v1', app)
    for (const operation of operations) {
      for (const method of ['GET', 'HEAD']) {
        const answer = await at.ask(`/v2/${name}/${operation}`, { method })
        expect([operation, method, answer.status]).toEqual([operation, method, 403])
      }
      expect(errorOf(await at.ask(`/v2/${name}/${operation}`)).code).toBe('DENIED')
    }
    expect(
      (await at.ask(`/v2/${name}/blobs/${layer.digest}`, { headers: { range: 'bytes=0-9' } })).status,
    ).toBe(403)
    expect(at.net.requests()).toEqual([])
    expect(at.net.names.asked).toEqual([])
  })

  test('a short name is judged with its library/', async () => {
    await using at = await scene({ upstreams: net => [hub(net, { options: rules })] })
    at.net.hub.put('library/app', 'v1', app)
    expect((await at.ask('/v2/app/manifests/v1')).status).toBe(200)
    expect((await at.ask('/v2/secret/manifests/v1')).status).toBe(403)
  })

  test('a pattern that comes later holds for what is cached already', async () => {
    await using at = await scene({ upstreams: net => [hub(net)] })
    at.net.hub.put('library/secret', 'v1', app)
    await at.warm(...operations.slice(0, 4).map(operation => `/v2/library/secret/${operation}`))
    await at.layover.reload({ ...at.layover.config, upstreams: [hub(at.net, { options: rules })] })
    for (const operation of operations) {
      for (const method of ['GET', 'HEAD']) {
        const answer = await at.ask(`/v2/library/secret/${operation}`, { method })
        expect([operation, method, answer.status]).toEqual([operation, method, 403])
      }
    }
    expect(at.net.requests()).toEqual([])
  })
})
