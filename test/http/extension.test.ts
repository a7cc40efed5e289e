/** What is held, as `_catalog`, the extension API and the discovery of extensions tell it. */
import { describe, expect, test, vi } from 'vitest'
import { artifact, image, index } from '../fake/content.ts'
import { pushBlob, pushBundle, pushManifest } from './push-client.ts'
import { type Answered, errorOf, hub, plain, type Scene, type SceneSetting, scene } from './scene.ts'

const app = image('app', { layers: [300] })
const nginx = image('nginx', { layers: [400] })
const unknown = `sha256:${'0'.repeat(64)}`

async function world(setting: SceneSetting = {}) {
  const at = await scene({ upstreams: net => [hub(net), plain(net, { isDefault: false })], ...setting })
  const push = (name: string, ...tags: string[]) => pushBundle({ url: at.layover.url, name }, app, ...tags)
  return {
    ...at,
    push,
    /** Pulled once, so that it is held. */
    async pulled(...names: string[]) {
      for (const name of names) {
        at.net.hub.put(name, 'v1', nginx)
        at.net.plain.put(name, 'v1', nginx)
        for (const registry of ['docker.io', 'plain.example'])
          await at.warm(`/v2/${registry}/${name}/manifests/v1`)
      }
    },
  }
}

const parse = ({ body }: Answered) => JSON.parse(body.toString()) as Record<string, unknown[]>

async function read(at: Scene, path: string) {
  const answer = await at.ask(path)
  expect([path, answer.status, answer.headers['content-type']]).toEqual([path, 200, 'application/json'])
  return parse(answer)
}

async function walk(at: Scene, start: string, list: string): Promise<unknown[][]> {
  const pages: unknown[][] = []
  for (let next: string | undefined = start; next !== undefined && pages.length < 50; ) {
    const answer: Answered = await at.ask(next)
    expect([next, answer.status]).toEqual([next, 200])
    pages.push(parse(answer)[list] ?? [])
    next = /^<([^>]+)>; rel="next"$/.exec(answer.headers.link?.toString() ?? '')?.[1]
  }
  return pages
}

describe('_catalog', () => {
  const names = [
    'docker.io/library/nginx',
    'local/a',
    'local/a-b',
    'local/a/b',
    'plain.example/library/nginx',
  ]

  async function filled(setting: SceneSetting = {}) {
    const at = await world(setting)
    await at.pulled('library/nginx')
    for (const name of ['local/a/b', 'local/a', 'local/a-b']) await at.push(name)
    return at
  }

  test('lists what is held, under names that can be pulled, in byte order', async () => {
    await using at = await filled()
    expect(await read(at, '/v2/_catalog')).toEqual({ repositories: names })
    for (const name of names)
      expect([name, (await at.ask(`/v2/${name}/tags/list`)).status]).toEqual([name, 200])
  })

  test.each([1, 2, 3, 5])('comes in pages of n=%i', async n => {
    await using at = await filled()
    const pages = await walk(at, `/v2/_catalog?n=${n}`, 'repositories')
    expect(pages.flat()).toEqual(names)
    expect(pages.slice(0, -1).every(page => page.length === n)).toBe(true)
    expect(pages).toHaveLength(Math.ceil(names.length / n))
  })

  test('begins after last, keeps to limits.page, and refuses nonsense', async () => {
    await using at = await filled({ limits: { page: 2 } })
    expect(await read(at, '/v2/_catalog?last=local/a-b')).toEqual({ repositories: names.slice(3) })
    expect(await read(at, '/v2/_catalog?last=n')).toEqual({ repositories: names.slice(4) })
    const pages = await walk(at, '/v2/_catalog?n=1000', 'repositories')
    expect(pages.map(page => page.length)).toEqual([2, 2, 1])
    const none = await at.ask('/v2/_catalog?n=0')
    expect([parse(none), none.headers.link]).toEqual([{ repositories: [] }, undefined])
    expect(errorOf(await at.ask('/v2/_catalog?n=x')).code).toBe('UNSUPPORTED')
  })

  test('is empty at first, and no longer lists what was deleted', async () => {
    await using at = await world()
    expect(await read(at, '/v2/_catalog')).toEqual({ repositories: [] })
    await at.push('local/a', 'v1')
    expect(await read(at, '/v2/_catalog')).toEqual({ repositories: ['local/a'] })
    await at.ask(`/v2/local/a/manifests/${app.digest}`, { method: 'DELETE' })
    for (const { digest } of app.blobs) await at.ask(`/v2/local/a/blobs/${digest}`, { method: 'DELETE' })
    expect(await read(at, '/v2/_catalog')).toEqual({ repositories: [] })
  })

  test('leaves out what the configuration no longer gives to anyone', async () => {
    await using at = await filled()
    const { config } = at.layover
    await at.layover.reload({ ...config, upstreams: config.upstreams.slice(0, 1), local: [] })
    expect(await read(at, '/v2/_catalog')).toEqual({ repositories: names.slice(0, 1) })
  })

  test('takes no writes', async () => {
    await using at = await world()
    for (const path of ['/v2/_catalog', '/v2/_ext/_repositories', '/v2/_oci/ext/discover']) {
      const answer = await at.ask(path, { method: 'DELETE' })
      expect([path, answer.status, answer.headers.allow]).toEqual([path, 405, 'GET, HEAD'])
    }
  })
})

describe('_ext', () => {
  test('_repositories are the upstreams and the local namespaces', async () => {
    await using at = await world({
      local: [
        { name: 'local', match: 'local/**' },
        { name: 'team', match: 'team/**', overlay: true, immutableTags: ['v*'] },
      ],
    })
    await at.pulled('library/nginx', 'library/redis')
    for (const name of ['local/a', 'local/b', 'local/c', 'team/app']) await at.push(name)
    const flags = { is_pull_through: true, immutable_tags: false }
    expect(await read(at, '/v2/_ext/_repositories')).toEqual({
      repositories: [
        { name: 'docker.io', namespaces: 2, ...flags },
        { name: 'local', namespaces: 3, ...flags, is_pull_through: false },
        { name: 'plain.example', namespaces: 2, ...flags },
        { name: 'team', namespaces: 1, ...flags, immutable_tags: true },
      ],
    })
  })

  test('_namespaces are named below their repository, with how much they hold', async () => {
    await using at = await world()
    await at.pulled('library/nginx')
    await at.push('local/team/app', 'v1', 'v2')
    await at.push('local/b')
    await pushBundle({ url: at.layover.url, name: 'local/b' }, index([app]))
    await at.ask('/v2/local/b/blobs/uploads/', { method: 'POST' })
    expect(await read(at, '/v2/_ext/docker.io/_namespaces')).toEqual({
      namespaces: [{ name: 'library/nginx', manifests: 1, uploads: 0 }],
    })
    expect(await read(at, '/v2/_ext/local/_namespaces')).toEqual({
      namespaces: [
        { name: 'b', manifests: 2, uploads: 1 },
        { name: 'team/app', manifests: 1, uploads: 0 },
      ],
    })
    const none = await at.ask('/v2/_ext/nothing/_namespaces')
    expect([none.status, errorOf(none).code]).toEqual([404, 'NAME_UNKNOWN'])
  })

  test('_namespaces come in pages', async () => {
    await using at = await world({
      limits: { page: 3 },
      local: ['local', 'local-not'].map(name => ({ name, match: `${name}/**` })),
    })
    const names = ['a', 'a-b', 'a/b', 'b', 'c']
    for (const name of names) await at.push(`local/${name}`)
    await at.push('local-not/a') // of another repository; near in order
    for (const [query, length] of [
      ['', 2],
      ['?n=1', 5],
      ['?n=2', 3],
      ['?n=99', 2],
    ] as const) {
      const pages = await walk(at, `/v2/_ext/local/_namespaces${query}`, 'namespaces')
      expect(pages.flat()).toMatchObject(names.map(name => ({ name })))
      expect(pages).toHaveLength(length)
    }
  })

  test('a name goes to the first namespace that takes it, and is listed whole where the namespace has another name', async () => {
    await using at = await world({
      local: [
        { name: 'charts', match: '**/charts' },
        { name: 'local', match: 'local/**' },
      ],
    })
    for (const name of ['local/charts', 'local/a', 'x/y/charts']) await at.push(name)
    expect(await read(at, '/v2/_ext/charts/_namespaces')).toMatchObject({
      namespaces: [{ name: 'local/charts' }, { name: 'x/y/charts' }],
    })
    expect(await read(at, '/v2/_ext/local/_namespaces')).toMatchObject({ namespaces: [{ name: 'a' }] })
  })

  test('a namespace within a registry is listed among what is mirrored of it', async () => {
    await using at = await world({
      local: [{ name: 'docker.io', match: 'docker.io/team/**', overlay: true }],
    })
    await at.pulled('library/nginx', 'team/app')
    await at.push('docker.io/team/app')
    await at.push('docker.io/team/own')
    expect(await read(at, '/v2/_ext/docker.io/_namespaces')).toEqual({
      namespaces: [
        { name: 'library/nginx', manifests: 1, uploads: 0 },
        { name: 'team/app', manifests: 2, uploads: 0 },
        { name: 'team/own', manifests: 1, uploads: 0 },
      ],
    })
    const { repositories } = await read(at, '/v2/_ext/_repositories')
    expect(repositories).toContainEqual(expect.objectContaining({ name: 'docker.io', namespaces: 3 }))
    const revisions = await read(at, '/v2/_ext/docker.io/team/app/_revisions')
    expect(revisions.revisions).toMatchObject([app, nginx].map(({ digest }) => ({ digest })).sort(byDigest))
  })

  test('_revisions tell tags, parent, and when they were pushed and pulled', async () => {
    await using at = await world()
    const both = index([app])
    const pushedAt = Math.floor(at.clock.now() / 1000)
    const to = { url: at.layover.url, name: 'local/team/app' }
    await pushBundle(to, both, 'v2', 'v10')
    at.clock.advance(90_500)
    await at.ask('/v2/local/team/app/manifests/v2')
    const pulledAt = Math.floor(at.clock.now() / 1000)
    const expected = [
      {
        digest: app.digest,
        media_type: app.root.mediaType,
        tags: [],
        parent: both.digest,
        pushed_at: pushedAt,
        last_pulled_at: null,
      },
      {
        digest: both.digest,
        media_type: both.root.mediaType,
        tags: ['v10', 'v2'],
        parent: null,
        pushed_at: pushedAt,
        last_pulled_at: pulledAt,
      },
    ]
    // The pull is noted behind its answer.
    await vi.waitFor(async () => {
      const { revisions } = await read(at, '/v2/_ext/local/team/app/_revisions')
      expect(revisions).toEqual(expected.sort(byDigest))
    })
  })

  test('_revisions of what is mirrored tell the same', async () => {
    await using at = await world()
    const fetchedAt = Math.floor(at.clock.now() / 1000)
    await at.pulled('library/nginx')
    const [revision] = (await read(at, '/v2/_ext/docker.io/library/nginx/_revisions')).revisions ?? []
    expect(revision).toMatchObject({
      digest: nginx.digest,
      media_type: nginx.root.mediaType,
      tags: ['v1'],
      parent: null,
      pushed_at: fetchedAt,
    })
  })

  test('_revisions come in pages', async () => {
    await using at = await world({ limits: { page: 3 } })
    const to = { url: at.layover.url, name: 'local/app' }
    const pushed = ['a', 'b', 'c', 'd', 'e'].map(seed => artifact(seed))
    for (const { root } of pushed) expect((await pushManifest(to, root)).status).toBe(201)
    for (const [query, length] of [
      ['', 2],
      ['?n=1', 5],
      ['?n=2', 3],
    ] as const) {
      const pages = await walk(at, `/v2/_ext/local/app/_revisions${query}`, 'revisions')
      expect(pages.flat()).toMatchObject(pushed.map(({ digest }) => ({ digest })).sort(byDigest))
      expect(pages).toHaveLength(length)
    }
    const bad = await at.ask('/v2/_ext/local/app/_revisions?last=x')
    expect([bad.status, errorOf(bad).code]).toEqual([400, 'UNSUPPORTED'])
    expect(await read(at, `/v2/_ext/local/app/_revisions?last=sha512:${'f'.repeat(128)}`)).toEqual({
      revisions: [],
    })
    expect((await at.ask(`/v2/_ext/local/app/_revisions?last=${unknown}&n=0`)).status).toBe(200)
  })

  test('_revisions of what holds nothing are 404, of what holds only blobs an empty list', async () => {
    await using at = await world()
    for (const name of ['local/none', 'docker.io/library/none']) {
      const answer = await at.ask(`/v2/_ext/${name}/_revisions`)
      expect([name, answer.status, errorOf(answer).code]).toEqual([name, 404, 'NAME_UNKNOWN'])
    }
    await pushBlob({ url: at.layover.url, name: 'local/blobs' }, Buffer.from('blob'))
    expect(await read(at, '/v2/_ext/local/blobs/_revisions')).toEqual({ revisions: [] })
  })

  test('_uploads are the open sessions of a namespace', async () => {
    await using at = await world()
    const startedAt = Math.floor(at.clock.now() / 1000)
    const begun = await at.ask('/v2/local/team/app/blobs/uploads/', { method: 'POST' })
    const session = begun.headers['docker-upload-uuid']
    const body = Buffer.alloc(1_000)
    const headers = { 'content-length': '1000' }
    await at.ask(begun.headers.location ?? '', { method: 'PATCH', headers, body })
    await at.ask('/v2/local/other/blobs/uploads/', { method: 'POST' })
    expect(await read(at, '/v2/_ext/local/team/app/_uploads')).toEqual({
      uploads: [{ uuid: session, size: 1_000, started_at: startedAt }],
    })
    expect(await read(at, '/v2/_ext/docker.io/library/nginx/_uploads')).toEqual({ uploads: [] })
  })
})

test('the extensions are listed for the registry and for a repository', async () => {
  await using at = await world()
  const { extensions } = await read(at, '/v2/_oci/ext/discover')
  expect(extensions).toMatchObject([
    { name: '_oci', endpoints: ['_oci/ext/discover'] },
    {
      name: '_ext',
      endpoints: [
        '_ext/_repositories',
        '_ext/{repository}/_namespaces',
        '_ext/{namespace}/_revisions',
        '_ext/{namespace}/_uploads',
      ],
    },
  ])
  for (const extension of extensions ?? [])
    expect(extension).toMatchObject({
      url: expect.stringMatching(/^https:/),
      description: expect.any(String),
    })
  const ofRepository = await read(at, '/v2/local/app/_oci/ext/discover')
  expect(ofRepository.extensions).toMatchObject([{ name: '_oci', endpoints: ['_oci/ext/discover'] }])
})

function byDigest(one: { digest: string }, other: { digest: string }): number {
  return one.digest < other.digest ? -1 : 1
}
