/** Deleting tags, manifests and blobs (distribution-spec, end-9 and end-10): gone for the next reader, and only what was meant. */
import { describe, expect, test } from 'vitest'
import { readContent } from '../../fake/bytes.ts'
import { artifact, image, index, raw, type StoredManifest } from '../../fake/content.ts'
import { pushBundle } from '../push-client.ts'
import { layerOf } from '../scene.ts'
import { bytes, name, type PushScene, pushScene } from './scene.ts'

const app = image('app', { layers: [2_000] })
const layer = layerOf(app)
const other = 'local/other'

async function pushed(...tags: readonly string[]) {
  const at = await pushScene()
  await pushBundle({ url: at.layover.url, name }, app, ...tags)
  return at
}

const remove = (at: PushScene, path: string, repository = name) =>
  at.ask(`/v2/${repository}/${path}`, { method: 'DELETE' })

/** By GET and HEAD, twice, so that whatever kept it in memory is asked too. */
async function statusesOf(at: PushScene, path: string, repository = name): Promise<number[]> {
  const statuses: number[] = []
  for (const method of ['GET', 'HEAD', 'GET', 'HEAD'])
    statuses.push((await at.ask(`/v2/${repository}/${path}`, { method })).status)
  return [...new Set(statuses)]
}

async function tagsOf(at: PushScene): Promise<unknown> {
  const { body } = await at.ask(`/v2/${name}/tags/list`)
  return (JSON.parse(body.toString()) as { tags: string[] }).tags
}

async function referrersOf(at: PushScene, { digest }: StoredManifest): Promise<unknown[]> {
  const { status, body } = await at.ask(`/v2/${name}/referrers/${digest}`)
  expect(status).toBe(200)
  return (JSON.parse(body.toString()) as { manifests: { digest: string }[] }).manifests.map(
    found => found.digest,
  )
}

describe('DELETE of a tag', () => {
  test('takes away that tag and nothing else: 202, then 404 at once', async () => {
    await using at = await pushed('a', 'b')
    for (const path of ['manifests/a', 'manifests/b', `manifests/${app.digest}`])
      expect(await statusesOf(at, path)).toEqual([200])
    const answer = await remove(at, 'manifests/a')
    expect([answer.status, answer.headers['content-length']]).toEqual([202, '0'])
    expect(await statusesOf(at, 'manifests/a')).toEqual([404])
    expect(at.failure(await remove(at, 'manifests/a'))).toEqual([404, 'MANIFEST_UNKNOWN'])
    for (const path of ['manifests/b', `manifests/${app.digest}`, `blobs/${layer.digest}`])
      expect(await statusesOf(at, path)).toEqual([200])
    expect(await tagsOf(at)).toEqual(['b'])
    await at.layover.restart()
    expect([await tagsOf(at), await statusesOf(at, 'manifests/a')]).toEqual([['b'], [404]])
  })

  test.each(['never-was', '.INVALID', 'a'.repeat(129)])('%s that there is not is 404', async tag => {
    await using at = await pushed('a')
    expect(at.failure(await remove(at, `manifests/${tag}`))).toEqual([404, 'MANIFEST_UNKNOWN'])
    expect(at.failure(await remove(at, `manifests/a`, other))).toEqual([404, 'MANIFEST_UNKNOWN'])
    expect(await statusesOf(at, 'manifests/a')).toEqual([200])
  })

  test('leaves it free to be set again', async () => {
    await using at = await pushed('a')
    for (const manifest of [image('next').root, app.root]) {
      expect((await remove(at, 'manifests/a')).status).toBe(202)
      expect((await at.put(manifest, 'a')).status).toBe(201)
      expect((await at.ask(`/v2/${name}/manifests/a`)).body.equals(manifest.body)).toBe(true)
    }
  })
})

describe('DELETE of a manifest', () => {
  test('takes away every tag that points at it, and no other: 202, then 404 at once', async () => {
    await using at = await pushed('a', 'b')
    await at.put(image('next').root, 'c')
    expect(await statusesOf(at, 'manifests/a')).toEqual([200])
    expect((await remove(at, `manifests/${app.digest}`)).status).toBe(202)
    for (const path of ['manifests/a', 'manifests/b', `manifests/${app.digest}`])
      expect(await statusesOf(at, path)).toEqual([404])
    expect([await tagsOf(at), await statusesOf(at, 'manifests/c')]).toEqual([['c'], [200]])
    expect(at.failure(await remove(at, `manifests/${app.digest}`))).toEqual([404, 'MANIFEST_UNKNOWN'])
    expect((await at.put(app.root, 'a')).status).toBe(201)
    expect([await tagsOf(at), await statusesOf(at, 'manifests/b')]).toEqual([['a', 'c'], [404]])
  })

  test('leaves a tag that points elsewhere by now', async () => {
    await using at = await pushed('a')
    const next = image('next').root
    await at.put(next, 'a')
    expect((await remove(at, `manifests/${app.digest}`)).status).toBe(202)
    expect((await at.ask(`/v2/${name}/manifests/a`)).body.equals(next.body)).toBe(true)
  })

  test('leaves the index that lists it, its blobs, and other repositories', async () => {
    await using at = await pushed('a')
    await pushBundle({ url: at.layover.url, name: other }, app, 'a')
    const list = index([app]).root
    await at.put(list, 'list')
    expect((await remove(at, `manifests/${app.digest}`)).status).toBe(202)
    expect(await statusesOf(at, 'manifests/list')).toEqual([200])
    expect(await statusesOf(at, `blobs/${layer.digest}`)).toEqual([200])
    expect(await statusesOf(at, 'manifests/a', other)).toEqual([200])
  })

  test.each(['sha256:bad', `sha256:${'A'.repeat(64)}`])('%s, which is no digest, is 400', async digest => {
    await using at = await pushed('a')
    expect(at.failure(await remove(at, `manifests/${digest}`))).toEqual([400, 'DIGEST_INVALID'])
  })

  test('takes it out of the list of its subject, and deleting the subject keeps the others', async () => {
    await using at = await pushed('a')
    const about = ['one', 'two'].map(seed => artifact(seed, { subject: app.root }).root)
    for (const manifest of about) {
      await at.put(manifest)
      expect(await referrersOf(at, app.root)).toContain(manifest.digest)
    }
    const [one = app.root, two = app.root] = about
    expect((await remove(at, `manifests/${one.digest}`)).status).toBe(202)
    expect(await referrersOf(at, app.root)).toEqual([two.digest])
    expect((await remove(at, `manifests/${app.digest}`)).status).toBe(202)
    expect(await referrersOf(at, app.root)).toEqual([two.digest])
    await at.layover.restart()
    expect(await referrersOf(at, app.root)).toEqual([two.digest])
    await at.put(one)
    expect(new Set(await referrersOf(at, app.root))).toEqual(new Set([one.digest, two.digest]))
  })
})

describe('DELETE of a blob', () => {
  test('takes it from this repository alone: 202, then 404 at once, while others serve it', async () => {
    await using at = await pushScene()
    const digest = await at.push(bytes(2_000))
    await at.push(bytes(2_000), other)
    expect(await statusesOf(at, `blobs/${digest}`)).toEqual([200])
    expect((await remove(at, `blobs/${digest}`)).status).toBe(202)
    expect(await statusesOf(at, `blobs/${digest}`)).toEqual([404])
    const ranged = await at.ask(`/v2/${name}/blobs/${digest}`, { headers: { range: 'bytes=0-1' } })
    expect(at.failure(ranged)).toEqual([404, 'BLOB_UNKNOWN'])
    expect(await statusesOf(at, `blobs/${digest}`, other)).toEqual([200])
    expect(at.failure(await remove(at, `blobs/${digest}`))).toEqual([404, 'BLOB_UNKNOWN'])
    await at.layover.restart()
    expect(await statusesOf(at, `blobs/${digest}`)).toEqual([404])
    expect(await at.push(bytes(2_000))).toBe(digest)
    expect(await statusesOf(at, `blobs/${digest}`)).toEqual([200])
  })

  test('that is not here is 404, and one that is no digest 400', async () => {
    await using at = await pushed()
    const unknown = `sha256:${'0'.repeat(64)}`
    expect(at.failure(await remove(at, `blobs/${unknown}`))).toEqual([404, 'BLOB_UNKNOWN'])
    expect(at.failure(await remove(at, `blobs/${layer.digest}`, other))).toEqual([404, 'BLOB_UNKNOWN'])
    expect(at.failure(await remove(at, 'blobs/sha256:bad'))).toEqual([400, 'DIGEST_INVALID'])
  })

  test.each([
    ['an image lists', app.root],
    [
      'an index lists, as BuildKit exported caches,',
      raw(
        JSON.stringify({
          schemaVersion: 2,
          manifests: [{ mediaType: 'application/x-layer', digest: layer.digest, size: layer.size }],
        }),
        'application/vnd.oci.image.index.v1+json',
      ),
    ],
  ])('that %s is 405, and it is still served, until that is deleted too', async (_, manifest) => {
    await using at = await pushScene()
    await at.push(readContent(layer.content))
    await at.put(manifest, 'v1')
    const answer = await remove(at, `blobs/${layer.digest}`)
    expect(at.failure(answer)).toEqual([405, 'UNSUPPORTED'])
    expect(await statusesOf(at, `blobs/${layer.digest}`)).toEqual([200])
    expect((await remove(at, 'manifests/v1')).status).toBe(202)
    expect((await remove(at, `blobs/${layer.digest}`)).status).toBe(405)
    expect((await remove(at, `manifests/${manifest.digest}`)).status).toBe(202)
    expect((await remove(at, `blobs/${layer.digest}`)).status).toBe(202)
    expect(await statusesOf(at, `blobs/${layer.digest}`)).toEqual([404])
  })

  test('that a manifest of another repository lists is no concern of this one', async () => {
    await using at = await pushed('v1')
    await at.push(readContent(layer.content), other)
    expect((await remove(at, `blobs/${layer.digest}`, other)).status).toBe(202)
    expect(await statusesOf(at, `blobs/${layer.digest}`)).toEqual([200])
  })
})

describe('delete: false', () => {
  test('answers every delete with 405 and Allow, and keeps what is there', async () => {
    await using at = await pushScene({ local: [{ name: 'local', match: 'local/**', delete: false }] })
    await pushBundle({ url: at.layover.url, name }, app, 'v1')
    const paths = ['manifests/v1', `manifests/${app.digest}`, `blobs/${layer.digest}`]
    for (const path of [...paths, 'manifests/unknown', `blobs/sha256:${'0'.repeat(64)}`]) {
      const answer = await remove(at, path)
      expect([path, ...at.failure(answer)]).toEqual([path, 405, 'UNSUPPORTED'])
      expect(answer.headers.allow?.split(', ')).not.toContain('DELETE')
      if (path.startsWith('blobs')) expect(answer.headers.allow?.split(', ')).not.toContain('PUT')
    }
    for (const path of paths) expect(await statusesOf(at, path)).toEqual([200])
    const location = await at.start()
    expect((await at.ask(location, { method: 'DELETE' })).status).toBe(204)
  })
})
