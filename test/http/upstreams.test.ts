/** Each registry's habits, met end to end: a client pulls through Layover and notices none of them. */
import { describe, expect, test } from 'vitest'
import { Containerd } from '../clients/containerd.ts'
import { Podman } from '../clients/podman.ts'
import { multiArch } from '../fake/content.ts'
import type { HostName } from '../fake/hosts.ts'
import type { Internet } from '../fake/internet.ts'
import { upstream } from '../support/layover.ts'
import { asked, plain, type Scene, scene } from './scene.ts'

const [first, second] = [multiArch('first'), multiArch('second')]
const hour = 3_600_000

const registries = [
  ['Docker Hub', 'registry.hub.test', 'hub'],
  ['ghcr.io', 'ghcr.test', 'ghcr'],
  ['quay.io', 'quay.test', 'quay'],
  ['registry.k8s.io', 'k8s.test', 'k8s'],
  ['Artifact Registry', 'gar.test', 'gar'],
  ['ECR Public', 'ecrpub.test', 'ecrPublic'],
  ['private ECR', 'ecr.test', 'ecr'],
  ['nvcr.io', 'nvcr.test', 'nvcr'],
  ['Azure', 'acr.test', 'acr'],
] as const satisfies readonly (readonly [string, HostName, keyof Internet])[]

describe.each(registries)('%s', (_, host, name) => {
  async function world() {
    const at = await scene({
      upstreams: net => [upstream({ registry: 'some.example', options: { urls: [urlOf(net)] } })],
    })
    at.net[name].put('team/app', 'v1', first)
    at.net[name].put('team/app', 'v2', second)
    return at
  }

  function urlOf(net: Internet) {
    net.ecr.addUser('AWS', 'right')
    const credentials = { kind: 'basic', username: 'AWS', password: 'right' } as const
    return { url: net.url(host), credentials: name === 'ecr' ? credentials : undefined }
  }

  const containerd = ({ layover }: Scene) =>
    new Containerd({ hosts: [layover.url], registry: 'some.example' })

  test('is pulled from, and again after tokens and signed URLs have expired', async () => {
    await using at = await world()
    expect((await containerd(at).pull('team/app', 'v1')).digest).toBe(first.digest)
    at.clock.advance(3 * hour)
    expect((await containerd(at).pull('team/app', 'v2')).digest).toBe(second.digest)
  })

  test('is pulled from by podman, which looks at things in another order', async () => {
    await using at = await world()
    const podman = new Podman({ mirrors: [{ url: at.layover.url, path: 'some.example' }] })
    expect((await podman.pull('team/app', 'v1')).digest).toBe(first.digest)
  })

  test('gives the size of a cold blob to a HEAD', async () => {
    await using at = await world()
    for (const { digest, size } of first.blobs) {
      const head = await at.ask(`/v2/some.example/team/app/blobs/${digest}`, { method: 'HEAD' })
      expect([head.status, head.headers['content-length']]).toEqual([200, String(size)])
    }
    const received = at.net.requests().filter(({ path }) => /blobs|downloads/.test(path))
    for (const { bodyBytes, status } of received)
      if (status === 206 || status === 200) expect(bodyBytes).toBeLessThan(2)
  })

  // What registry.k8s.io redirects to knows the repository: the stand-in does not, and refuses as Artifact Registry does.
  test.skipIf(name === 'k8s')(
    `does not have a repository: 404, or its own refusal to callers without a token${name === 'k8s' ? ' (not here: the stand-in behind the redirect knows no repository)' : ''}`,
    async () => {
      await using at = await world()
      const answer = await at.ask('/v2/some.example/team/nothing/manifests/v1')
      expect(answer.status).toBe(name === 'gar' ? 403 : 404)
    },
  )

  test('lists tags and referrers', async () => {
    await using at = await world()
    const tags = await at.ask('/v2/some.example/team/app/tags/list')
    expect(JSON.parse(tags.body.toString())).toMatchObject({ tags: ['v1', 'v2'] })
    const referrers = await at.ask(`/v2/some.example/team/app/referrers/${first.digest}`)
    expect([referrers.status, JSON.parse(referrers.body.toString())]).toMatchObject([200, { manifests: [] }])
  })
})

describe('several URLs', () => {
  const manifest = '/v2/team/app/manifests/v1'
  const both = (net: Internet) => {
    const urls = (['gar.test', 'plain.test'] as const).map(host => ({
      url: net.url(host),
      credentials: undefined,
    }))
    return [plain(net, { options: { urls } })]
  }

  test('are asked in their order', async () => {
    await using at = await scene({ upstreams: both })
    at.net.gar.put('team/app', 'v1', first)
    at.net.plain.put('team/app', 'v1', second)
    expect((await at.ask(manifest)).headers['docker-content-digest']).toBe(first.digest)
    expect(asked(at.net, 'plain.test')).toEqual([])
  })

  test('stand in for each other', async () => {
    await using at = await scene({ upstreams: both })
    at.net.plain.put('team/app', 'v1', second)
    at.net.fault({ host: 'gar.test', kind: 'refuse' })
    expect((await at.ask(manifest)).headers['docker-content-digest']).toBe(second.digest)
    for (const { digest } of second.blobs) {
      expect((await at.ask(`/v2/team/app/blobs/${digest}`)).status).toBe(200)
    }
  })

  test('all have to say 404 before the client hears it', async () => {
    await using at = await scene({ upstreams: both })
    at.net.gar.put('team/app', 'v2', first)
    const down = at.net.fault({ host: 'plain.test', kind: 'status', status: 500 })
    expect((await at.ask(manifest)).status).toBe(503)
    await down.off()
    expect((await at.ask(manifest)).status).toBe(404)
  })
})

test('a credential goes to its own registry and to no CDN, realm or website it leads to', async () => {
  await using at = await scene({
    upstreams: net => {
      net.hub.addUser('bob', 'right')
      const credentials = { kind: 'basic', username: 'bob', password: 'right' } as const
      const urls = [{ url: net.url('registry.hub.test'), credentials }]
      return [upstream({ registry: 'docker.io', options: { urls } })] // authRealms: none
    },
  })
  at.net.hub.put('library/app', 'v1', first)
  const containerd = new Containerd({ hosts: [at.layover.url], registry: 'docker.io' })
  await containerd.pull('library/app', 'v1')
  const password = Buffer.from('bob:right').toString('base64')
  for (const { host, headers } of at.net.requests()) {
    if (host.startsWith('cdn-')) expect(headers.authorization).toBeUndefined()
    expect(headers.authorization ?? '').not.toContain(password)
  }
  expect(at.layover.lines.filter(({ level }) => level === 'warn').map(({ msg }) => msg)).toEqual([
    expect.stringContaining('authRealms'),
  ])
})
