/** What a request's name means, in every form in which clients write it. */
import { describe, expect, test } from 'vitest'
import { image } from '../fake/content.ts'
import type { Internet } from '../fake/internet.ts'
import { upstream } from '../support/layover.ts'
import { errorOf, hub, layerOf, type SceneSetting, scene } from './scene.ts'

const alpine = image('alpine', { layers: [300] })
const layer = layerOf(alpine)

async function world(setting: SceneSetting = {}) {
  const at = await scene({
    upstreams: net => [
      hub(net),
      upstream({ registry: 'ghcr.io', url: net.url('ghcr.test') }),
      upstream({ registry: 'registry.corp:5000', url: net.url('plain.test'), aliases: ['corp'] }),
    ],
    hosts: ['mirror.corp.example', 'mirror.corp.example:8080'],
    local: [
      { name: 'local', match: 'local/**' },
      { name: 'team', match: 'docker.io/team/**' },
      { name: 'own', match: 'ghcr.io/own/**' },
    ],
    ...setting,
  })
  at.net.hub.put('library/alpine', '3.20', alpine)
  at.net.ghcr.put('alpine', '3.20', alpine)
  at.net.plain.put('app', '3.20', alpine)
  return at
}

/** In front of and behind the operation, and the path that the upstream is to see. */
const forms: Record<string, { before: string; query?: string; upstream?: string }> = {
  'bare name': { before: '/v2/library/alpine' },
  'bare name without library/': { before: '/v2/alpine' },
  'ns (containerd)': { before: '/v2/library/alpine', query: 'ns=docker.io' },
  'ns with the DNS name (regclient)': { before: '/v2/library/alpine', query: 'ns=registry-1.docker.io' },
  'ns and the registry in the name (BuildKit, k3s)': {
    before: '/v2/docker.io/library/alpine',
    query: 'ns=docker.io',
  },
  'ns that is our own host': { before: '/v2/library/alpine', query: 'ns=mirror.corp.example:8080' },
  'empty ns': { before: '/v2/library/alpine', query: 'ns=' },
  'registry in front of /v2/': { before: '/docker.io/v2/library/alpine' },
  'alias in front of /v2/': { before: '/index.docker.io/v2/alpine' },
  'registry without /v2/ (k3s endpoints)': { before: '/docker.io/library/alpine' },
  'registry in the name': { before: '/v2/docker.io/library/alpine' },
  'registry in the name without library/ (oras, Helm)': { before: '/v2/docker.io/alpine' },
  'alias in the name': { before: '/v2/registry-1.docker.io/library/alpine' },
  'another registry by ns': { before: '/v2/alpine', query: 'ns=ghcr.io', upstream: '/v2/alpine' },
  'another registry in the name': { before: '/v2/ghcr.io/alpine', upstream: '/v2/alpine' },
  'another registry in front': { before: '/ghcr.io/v2/alpine', upstream: '/v2/alpine' },
  'registry with a port by ns': { before: '/v2/app', query: 'ns=registry.corp:5000', upstream: '/v2/app' },
  'registry with a port in the name': { before: '/v2/registry.corp:5000/app', upstream: '/v2/app' },
  'registry with a port, encoded': { before: '/v2/registry.corp%3A5000/app', upstream: '/v2/app' },
  'registry with a port in front': { before: '/registry.corp%3A5000/v2/app', upstream: '/v2/app' },
  'an alias that is no host name': { before: '/v2/corp/app', upstream: '/v2/app' },
}

test.each(Object.entries(forms))('%s: every operation reaches the repository', async (_, form) => {
  await using at = await world()
  const { before, query, upstream: base = '/v2/library/alpine' } = form
  const path = (operation: string) => `${before}/${operation}${query === undefined ? '' : `?${query}`}`

  const manifest = await at.ask(path('manifests/3.20'))
  expect(manifest.status).toBe(200)
  expect(manifest.body.equals(alpine.root.body)).toBe(true)
  const blob = await at.ask(path(`blobs/${layer.digest}`))
  expect([blob.status, blob.body.length]).toEqual([200, 300])
  const tags = await at.ask(path('tags/list'))
  expect(JSON.parse(tags.body.toString())).toMatchObject({ tags: ['3.20'] })
  expect((await at.ask(path(`referrers/${alpine.digest}`))).status).toBe(200)
  expect((await at.ask(path(`manifests/${alpine.digest.replace(':', '%3A')}`))).status).toBe(200)

  const names = new Set(
    upstreamRequests(at.net).map(p => p.replace(/\/(manifests|blobs|tags|referrers)\/.*/, '')),
  )
  expect([...names]).toEqual([base])
  const leaked = at.net.requests().filter(({ query }) => query.has('ns'))
  expect(leaked).toEqual([])
})

function upstreamRequests(net: Internet): string[] {
  return net
    .requests()
    .filter(({ host, path }) => /^(registry\.hub|ghcr|plain)\.test$/.test(host) && path !== '/token')
    .map(({ path }) => path)
}

describe('OCI-Namespace', () => {
  test.each([
    ['ns=docker.io', 'docker.io'],
    ['ns=registry-1.docker.io', 'registry-1.docker.io'],
    ['ns=mirror.corp.example', undefined],
    ['', undefined],
  ])('?%s is echoed as %s', async (query, echo) => {
    await using at = await world()
    expect((await at.ask(`/v2/library/alpine/manifests/3.20?${query}`)).headers['oci-namespace']).toBe(echo)
    expect((await at.ask(`/v2/library/alpine/manifests/gone?${query}`)).headers['oci-namespace']).toBe(echo)
  })
})

describe('a registry that is not configured', () => {
  test.each([
    'unknown.example',
    'evil.test',
    'localhost:5000',
    '10.0.0.1:5000',
    '169.254.169.254',
    '[::1]:5000',
    'registry.kube-system.svc:5000',
    'docker.io.',
    'docker.io/library',
    'http://evil.test',
    '../docker.io',
    '_local',
  ])('ns=%s is a 404 without a name looked up or a connection made', async ns => {
    await using at = await world()
    for (const operation of [
      'manifests/3.20',
      `blobs/${layer.digest}`,
      'tags/list',
      `referrers/${alpine.digest}`,
    ]) {
      const answer = await at.ask(`/v2/library/alpine/${operation}?ns=${encodeURIComponent(ns)}`)
      expect(answer.status).toBe(404)
      expect(errorOf(answer).code).toBe('NAME_UNKNOWN')
    }
    expect(at.net.requests()).toEqual([])
    expect(at.net.names.asked).toEqual([])
  })

  test('in front of /v2/ is a 404 too', async () => {
    await using at = await world()
    const answer = await at.ask('/unknown.example/v2/library/alpine/manifests/3.20')
    expect(answer.status).toBe(404)
    expect(errorOf(answer).code).toBe('NAME_UNKNOWN')
    expect(at.net.requests()).toEqual([])
  })

  test('a bare name without a default upstream is a 404 that says so', async () => {
    await using at = await world({ upstreams: net => [hub(net, { isDefault: false })] })
    const answer = await at.ask('/v2/library/alpine/manifests/3.20')
    expect(answer.status).toBe(404)
    expect(errorOf(answer)).toMatchObject({
      code: 'NAME_UNKNOWN',
      message: expect.stringContaining('default'),
    })
    expect((await at.ask('/v2/docker.io/library/alpine/manifests/3.20')).status).toBe(200)
  })
})

describe('what no name, tag or digest can be', () => {
  const long = 'a'.repeat(256)
  const names = [
    'Library/alpine',
    'library/Alpine',
    'library/a..b',
    'library/a._b',
    'library/a___b',
    '-library/alpine',
    'library/alpine-',
    'library//alpine',
    '/library/alpine',
    'library/../alpine',
    '../../etc/passwd',
    'library/./alpine',
    'library/%2e%2e/alpine',
    'library%2Falpine',
    'library%2falpine',
    'library%252Falpine',
    'library%5Calpine',
    'library/al%00pine',
    'library/al pine'.replace(' ', '%20'),
    'library/%ff',
    'library/%E0%A4%A',
    'library/älpine'.replace('ä', '%C3%A4'),
    long,
    `${'a/'.repeat(1500)}b`,
  ]

  test.each(names)('the name %s is refused with 400', async name => {
    await using at = await world()
    for (const path of [`/v2/${name}/manifests/3.20`, `/v2/${name}/tags/list?ns=docker.io`]) {
      const answer = await at.ask(path)
      expect(answer.status).toBe(400)
      expect(errorOf(answer).code).toBe('NAME_INVALID')
    }
    expect(at.net.requests()).toEqual([])
    expect(at.net.names.asked).toEqual([])
  })

  test.each([
    '/docker.io/v2/',
    '/docker.io/',
    '/v2/docker.io/',
  ])('%s in front changes nothing about that', async before => {
    await using at = await world()
    for (const name of ['Library/alpine', 'library/../alpine', 'library%2Falpine', 'library//alpine']) {
      const answer = await at.ask(`${before}${name}/manifests/3.20`)
      expect([name, answer.status]).toEqual([name, 400])
      expect(errorOf(answer).code).toBe('NAME_INVALID')
    }
    expect(at.net.requests()).toEqual([])
  })

  test.each([
    'sha256:abc',
    `sha256:${'A'.repeat(64)}`,
    `sha256:${'g'.repeat(64)}`,
    `sha256:${'a'.repeat(65)}`,
    `sha512:${'a'.repeat(64)}`,
    'sha256:',
  ])('the digest %s is refused with 400', async digest => {
    await using at = await world()
    for (const kind of ['manifests', 'blobs', 'referrers']) {
      const answer = await at.ask(`/v2/library/alpine/${kind}/${digest}`)
      expect(answer.status).toBe(400)
      expect(errorOf(answer).code).toBe('DIGEST_INVALID')
    }
    expect(at.net.requests()).toEqual([])
  })

  test.each([
    '-latest',
    '.hidden',
    'a'.repeat(129),
    'a%20b',
    'a%C3%A4',
    'a+b',
    'a@b',
  ])('the tag %s is a 404 without asking anybody', async tag => {
    await using at = await world()
    const answer = await at.ask(`/v2/library/alpine/manifests/${tag}`)
    expect(answer.status).toBe(404)
    expect(errorOf(answer).code).toBe('MANIFEST_UNKNOWN')
    expect(at.net.requests()).toEqual([])
  })

  test('names made of the words of the protocol are names', async () => {
    await using at = await world()
    at.net.hub.put('manifests/blobs/tags', 'list', alpine)
    expect((await at.ask('/v2/manifests/blobs/tags/manifests/list')).status).toBe(200)
    expect((await at.ask('/v2/manifests/blobs/tags/tags/list')).status).toBe(200)
  })
})

describe('local names never leave for the default upstream', () => {
  const forms = [
    '/v2/local/app/OP',
    '/v2/local/app/OP?ns=docker.io',
    '/v2/local/app/OP?ns=mirror.corp.example',
    '/v2/docker.io/local/app/OP',
    '/docker.io/v2/local/app/OP',
    '/docker.io/local/app/OP',
    '/v2/team/app/OP',
    '/v2/team/app/OP?ns=index.docker.io',
    '/v2/docker.io/team/app/OP',
    '/index.docker.io/v2/team/app/OP',
    '/v2/docker.io/index.docker.io/team/app/OP',
    '/v2/docker.io/team/app/OP?ns=registry-1.docker.io',
    '/v2/team/app/OP?ns=DOCKER.IO',
    '/v2/ghcr.io/own/app/OP',
    '/v2/own/app/OP?ns=ghcr.io',
    '/v2/ghcr.io/own/app/OP?ns=ghcr.io',
    '/v2/ghcr.io/own/app/OP?ns=docker.io',
    '/v2/docker.io/ghcr.io/own/app/OP',
    '/docker.io/v2/ghcr.io/own/app/OP',
    '/ghcr.io/own/app/OP',
  ]

  test.each(forms)('%s', async form => {
    await using at = await world()
    at.net.hub.put('local/app', '1', alpine)
    at.net.hub.put('team/app', '1', alpine)
    at.net.hub.put('ghcr.io/own/app', '1', alpine)
    at.net.ghcr.put('own/app', '1', alpine)
    const path = (operation: string) => form.replace('OP', operation)
    for (const operation of [
      'manifests/1',
      `manifests/${alpine.digest}`,
      `blobs/${layer.digest}`,
      'tags/list',
    ]) {
      const answer = await at.ask(path(operation))
      expect(answer.status).toBe(404)
      expect((await at.ask(path(operation), { method: 'HEAD' })).status).toBe(404)
    }
    const referrers = await at.ask(path(`referrers/${alpine.digest}`))
    expect(JSON.parse(referrers.body.toString())).toMatchObject({ manifests: [] })
    expect(at.net.requests()).toEqual([])
  })

  test("under another registry the same name is that registry's", async () => {
    await using at = await world()
    at.net.ghcr.put('local/app', '1', alpine)
    expect((await at.ask('/v2/local/app/manifests/1?ns=ghcr.io')).status).toBe(200)
  })

  test('a name that only begins like a local one goes upstream', async () => {
    await using at = await world()
    at.net.hub.put('localhost/app', '1', alpine)
    expect((await at.ask('/v2/localhost/app/manifests/1')).status).toBe(200)
  })
})

describe('an overlay', () => {
  const overlays = [
    { name: 'team', match: 'docker.io/team/**', overlay: true },
    { name: 'mine', match: 'mine/**', overlay: true },
    { name: 'own', match: 'ghcr.io/own/**', overlay: true },
  ]
  const ours = image('ours', { layers: [200] })
  const forms = [
    ...['team/app', 'mine/app'].flatMap(name => [
      `/v2/${name}/OP`,
      `/v2/${name}/OP?ns=docker.io`,
      `/v2/${name}/OP?ns=index.docker.io`,
      `/v2/${name}/OP?ns=mirror.corp.example`,
      `/v2/docker.io/${name}/OP`,
      `/v2/docker.io/${name}/OP?ns=docker.io`,
      `/docker.io/v2/${name}/OP`,
      `/index.docker.io/${name}/OP`,
    ]),
    '/v2/ghcr.io/own/app/OP',
    '/v2/own/app/OP?ns=ghcr.io',
    '/ghcr.io/v2/own/app/OP',
  ]

  async function overlaid() {
    const at = await world({ local: overlays })
    for (const name of ['team/app', 'mine/app']) at.net.hub.put(name, '1', alpine)
    at.net.ghcr.put('own/app', '1', alpine)
    return at
  }

  test.each(forms)('%s is asked for upstream while it is not here', async form => {
    await using at = await overlaid()
    const answer = await at.ask(form.replace('OP', 'manifests/1'))
    expect(answer.status).toBe(200)
    expect(answer.body.equals(alpine.root.body)).toBe(true)
    const blob = await at.ask(form.replace('OP', `blobs/${layer.digest}`))
    expect([blob.status, blob.body.length]).toEqual([200, 300])
  })

  test.each(forms)('%s is answered from here once it was pushed, and upstream is not asked', async form => {
    await using at = await overlaid()
    const name = /(?:team|mine)\/app/.exec(form)?.[0] ?? 'ghcr.io/own/app'
    for (const { content, digest, size } of ours.blobs) {
      const body = Buffer.concat([...content.chunks(0, size)])
      const pushed = await at.ask(`/v2/${name}/blobs/uploads/?digest=${digest}`, {
        method: 'POST',
        headers: { 'content-type': 'application/octet-stream' },
        body,
      })
      expect(pushed.status).toBe(201)
    }
    const { body, mediaType } = ours.root
    const headers = { 'content-type': mediaType }
    const pushed = await at.ask(`/v2/${name}/manifests/1`, { method: 'PUT', headers, body })
    expect(pushed.status).toBe(201)
    const answer = await at.ask(form.replace('OP', 'manifests/1'))
    expect(answer.body.equals(body)).toBe(true)
    expect((await at.ask(form.replace('OP', `blobs/${layerOf(ours).digest}`))).status).toBe(200)
    expect(at.net.requests()).toEqual([])
  })

  test('leads to one upstream only', async () => {
    await using at = await overlaid()
    at.net.ghcr.put('team/other', '1', alpine)
    at.net.hub.put('own/other', '1', alpine)
    expect((await at.ask('/v2/team/other/manifests/1')).status).toBe(404)
    expect((await at.ask('/v2/ghcr.io/own/other/manifests/1')).status).toBe(404)
  })
})
