/** Mounts, and what they must not give away (distribution-spec, end-11). */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { digestOf } from '../../../src/oci/digest.ts'
import { readContent } from '../../fake/bytes.ts'
import { artifactOf, image, index, raw, single } from '../../fake/content.ts'
import { pushBundle } from '../push-client.ts'
import { layerOf, plain, scene } from '../scene.ts'
import { bytes, locationOf, name, type PushScene, pushScene } from './scene.ts'

const content = bytes(4_000)
const digest = digestOf(content)
const other = 'local/other/app'

const mount = (at: PushScene, query: string, repository = name) =>
  at.ask(`/v2/${repository}/blobs/uploads/?${query}`, { method: 'POST' })

const blob = (at: PushScene, repository: string, headers: Record<string, string> = {}) =>
  at.ask(`/v2/${repository}/blobs/${digest}`, { headers })

/** A session instead, which the client goes on with. */
async function expectSession(at: PushScene, query: string): Promise<void> {
  const answer = await mount(at, query)
  expect([query, answer.status, answer.headers.range]).toEqual([query, 202, '0-0'])
  expect((await blob(at, name)).status).toBe(404)
  const location = locationOf(answer)
  expect(location).toMatch(new RegExp(`^/v2/${name}/blobs/uploads/[0-9a-f-]{36}$`))
  expect((await at.close(location, digest, content)).status).toBe(201)
  expect((await blob(at, name)).body.equals(content)).toBe(true)
}

describe('a mount', () => {
  test.each([
    ['from the repository that holds the blob', `&from=${encodeURIComponent(other)}`],
    ['without from', ''],
  ])('%s is 201 with the path of the blob, at once and without its bytes', async (_, from) => {
    for (const algorithm of ['sha256', 'sha512'] as const) {
      await using at = await pushScene()
      const wanted = digestOf(content, algorithm)
      const path = `/v2/${other}/blobs/uploads/?digest=${wanted}`
      await at.ask(path, { method: 'POST', body: content })
      const answer = await mount(at, `mount=${wanted}${from}`)
      expect([answer.status, answer.headers.location]).toEqual([201, `/v2/${name}/blobs/${wanted}`])
      expect(answer.headers).toMatchObject({ 'docker-content-digest': wanted, 'content-length': '0' })
      const got = await at.ask(locationOf(answer))
      expect([got.status, got.body.equals(content)]).toEqual([200, true])
      expect(await at.sessions()).toEqual([])
      expect(await readdir(join(at.layover.truthPath, 'pushed', algorithm))).toHaveLength(1)
    }
  })

  test('of what the repository holds already is 201, wherever it was to come from', async () => {
    await using at = await pushScene()
    await at.push(content)
    for (const from of ['', `&from=${name}`, '&from=local/nothing', `&from=${other}`])
      expect((await mount(at, `mount=${digest}${from}`)).status).toBe(201)
  })

  test.each([
    ['of a blob that nobody holds', `mount=${digest}`],
    ['of a blob that from does not hold', `mount=${digest}&from=${other}`],
    ['from a repository that does not exist', `mount=${digest}&from=local/nowhere`],
    ['from a name that leads nowhere', `mount=${digest}&from=unknown/repository`],
    ['from what can be no name', `mount=${digest}&from=${encodeURIComponent('Not/../a//NAME')}`],
    ['from no name at all', `mount=${digest}&from=`],
  ])('%s is 202 and a session, never an error', async (_, query) => {
    await using at = await pushScene()
    await at.push(bytes(10), other)
    await expectSession(at, query)
  })

  test('from a repository that does not hold the blob is 202, also when a third one does', async () => {
    await using at = await pushScene()
    await at.push(content, 'local/third')
    await at.push(bytes(10), other)
    await expectSession(at, `mount=${digest}&from=${other}`)
  })

  test.each([
    '',
    'nonsense',
    digest.slice(0, -1),
    `blake3:${'0'.repeat(64)}`,
  ])('of "%s", which is no digest that can be kept, is 400', async text => {
    await using at = await pushScene()
    for (const from of ['', `&from=${other}`])
      expect(at.failure(await mount(at, `mount=${text}${from}`))).toEqual([400, 'DIGEST_INVALID'])
    expect(await at.sessions()).toEqual([])
  })

  test('outlives the deletion in the repository it came from, and the other way about', async () => {
    await using at = await pushScene()
    await at.push(content, other)
    await mount(at, `mount=${digest}&from=${other}`)
    expect((await at.ask(`/v2/${other}/blobs/${digest}`, { method: 'DELETE' })).status).toBe(202)
    expect([(await blob(at, other)).status, (await blob(at, name)).status]).toEqual([404, 200])
    expect((await mount(at, `mount=${digest}&from=${name}`, other)).status).toBe(201)
    expect((await at.ask(`/v2/${name}/blobs/${digest}`, { method: 'DELETE' })).status).toBe(202)
    expect([(await blob(at, other)).body.equals(content), (await blob(at, name)).status]).toEqual([true, 404])
    await at.ask(`/v2/${other}/blobs/${digest}`, { method: 'DELETE' })
    expect((await mount(at, `mount=${digest}`)).status).toBe(202)
  })
})

test('a mount does not bring back what is deleted meanwhile, where nobody else could have given it', async () => {
  await using at = await pushScene()
  for (let round = 0; round < 25; round += 1) {
    await at.push(content)
    const [mounted, deleted] = await Promise.all([
      mount(at, `mount=${digest}&from=${other}`),
      at.ask(`/v2/${name}/blobs/${digest}`, { method: 'DELETE' }),
    ])
    expect([201, 202]).toContain(mounted.status)
    expect([deleted.status, (await blob(at, name)).status]).toEqual([202, 404])
  }
})

describe('a mount from a proxied repository', () => {
  const app = image('mounted', { layers: [5_000] })
  const layer = layerOf(app)

  async function world() {
    const at = await scene({ upstreams: net => [plain(net)] })
    at.net.plain.put('team/app', '1', app)
    const post = (query: string) =>
      at.ask(`/v2/local/mine/blobs/uploads/?${query}`, { method: 'POST', headers: { 'content-length': '0' } })
    return Object.assign(at, { post, got: () => at.ask(`/v2/local/mine/blobs/${layer.digest}`) })
  }

  test('is 201 for what is cached, without asking upstream', async () => {
    await using at = await world()
    await at.warm('/v2/team/app/manifests/1', `/v2/team/app/blobs/${layer.digest}`)
    for (const from of ['team/app', 'plain.example/team/app'])
      expect((await at.post(`mount=${layer.digest}&from=${encodeURIComponent(from)}`)).status).toBe(201)
    const got = await at.got()
    expect([got.status, got.body.equals(readContent(layer.content))]).toEqual([200, true])
    expect(at.net.requests()).toEqual([])
  })

  test('is 202 for what is not cached, though a cached manifest lists it, and for what only another repository was served', async () => {
    await using at = await world()
    await at.warm('/v2/team/app/manifests/1')
    expect((await at.post(`mount=${layer.digest}&from=team/app`)).status).toBe(202)
    await at.warm(`/v2/team/app/blobs/${layer.digest}`)
    for (const from of ['&from=team/other', '&from=plain.example/other'])
      expect((await at.post(`mount=${layer.digest}${from}`)).status).toBe(202)
    expect((await at.got()).status).toBe(404)
    expect(at.net.requests()).toEqual([])
  })
})

describe("a manifest that lists another repository's layer", () => {
  const app = image('secret', { layers: [4_000] })
  const secret = layerOf(app)

  async function stolen() {
    const at = await pushScene()
    await pushBundle({ url: at.layover.url, name }, app, '1')
    const image2 = artifactOf([secret])
    const list = index([single(image2.root)])
    const asBlob = raw(
      JSON.stringify({
        schemaVersion: 2,
        manifests: [{ mediaType: 'application/octet-stream', digest: secret.digest, size: secret.size }],
      }),
      'application/vnd.oci.image.index.v1+json',
    )
    for (const manifest of [app.root, image2.root, list.root, asBlob])
      expect((await at.put(manifest, manifest.digest, 'local/thief')).status).toBe(201)
    await at.ask(`/v2/local/thief/manifests/${app.digest}`)
    return at
  }

  test('gives nobody that layer: not by GET, HEAD or range, not after a restart', async () => {
    await using at = await stolen()
    for (const again of [false, true]) {
      if (again) await at.layover.restart()
      for (const headers of [
        {},
        { range: 'bytes=0-9' },
        { range: 'bytes=0-1,3-4' },
        { 'if-none-match': `"${secret.digest}"` },
      ])
        for (const method of ['GET', 'HEAD']) {
          const answer = await at.ask(`/v2/local/thief/blobs/${secret.digest}`, {
            method,
            headers: { ...headers },
          })
          expect([answer.status, answer.body.includes(readContent(secret.content, 0, 10))]).toEqual([
            404,
            false,
          ])
        }
    }
  })

  test('does not let it be mounted from there, nor be claimed by its digest', async () => {
    await using at = await stolen()
    const mounted = await mount(at, `mount=${secret.digest}&from=local/thief`, 'local/fence')
    expect(mounted.status).toBe(202)
    const claimed = await at.ask(`/v2/local/thief/blobs/uploads/?digest=${secret.digest}`, { method: 'POST' })
    expect(claimed.status).toBe(202)
    const closed = await at.close(await at.start('', 'local/thief'), secret.digest)
    expect(at.failure(closed)).toEqual([400, 'DIGEST_INVALID'])
    for (const repository of ['local/thief', 'local/fence'])
      expect((await at.ask(`/v2/${repository}/blobs/${secret.digest}`)).status).toBe(404)
  })

  test('nor the manifests that an index of it lists', async () => {
    await using at = await pushScene()
    await pushBundle({ url: at.layover.url, name }, app, '1')
    expect((await at.put(index([app]).root, 'all', 'local/thief')).status).toBe(201)
    expect((await at.ask(`/v2/local/thief/manifests/${app.digest}`)).status).toBe(404)
  })
})
