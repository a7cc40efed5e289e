/** Pushes into overlays: what an image leans on upstream is taken over as far as it is cached, and nothing else is. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readContent, type StoredBlob } from '../fake/bytes.ts'
import { amd64, arm64, artifactOf, type Bundle, image, index } from '../fake/content.ts'
import { pushBlob, pushManifest } from './push-client.ts'
import { asked, layerOf, plain, type Scene, scene } from './scene.ts'

const name = 'team/app'
const base = image('base', { layers: [300, 70_000], platform: amd64 })
const other = image('other', { layers: [400], platform: arm64 })
const both = index([base, other])
const layer = layerOf(base, 1)

const local = [{ name: 'team', match: 'team/**', overlay: true }]

async function world() {
  const at = await scene({ upstreams: net => [plain(net)], local })
  return { ...at, to: { url: at.layover.url, name } }
}

const blobPath = ({ digest }: StoredBlob, repository = name) => `/v2/${repository}/blobs/${digest}`
const manifestPath = (reference: string, repository = name) => `/v2/${repository}/manifests/${reference}`

/** All of it has been pulled through here. */
async function pullWhole(at: Scene, { manifests, blobs }: Bundle, repository = name): Promise<void> {
  const paths = manifests.map(({ digest }) => manifestPath(digest, repository))
  await at.warm(...paths, ...blobs.map(blob => blobPath(blob, repository)))
}

/** What came from upstream is gone from here, and upstream answers no more. */
async function loseUpstream({ layover, net }: Scene): Promise<void> {
  await layover.stop() // what was answered is on disk from then on
  for (const part of ['cached', 'index.sqlite', 'names/plain.example'])
    await rm(join(layover.storePath, part), { recursive: true })
  await layover.restart()
  net.fault({ host: 'plain.test', kind: 'status', status: 502 })
}

/** Manifests by their digests, and every blob. */
async function expectPullable(at: Scene, { manifests, blobs }: Bundle): Promise<void> {
  for (const { digest, body } of manifests) {
    const answer = await at.ask(manifestPath(digest))
    expect([digest, answer.status, answer.body.equals(body)]).toEqual([digest, 200, true])
  }
  for (const blob of blobs) {
    const answer = await at.ask(blobPath(blob))
    const isSame = answer.body.equals(readContent(blob.content))
    expect([blob.digest, answer.status, isSame]).toEqual([blob.digest, 200, true])
  }
}

test('layers that a client left out because upstream has them are kept with the image', async () => {
  await using at = await world()
  at.net.plain.put(name, 'v1', base)
  await pullWhole(at, base)
  const derived = artifactOf([layer, ...image('on top', { layers: [500] }).blobs])
  for (const blob of derived.blobs) {
    const { status } = await at.ask(blobPath(blob), { method: 'HEAD' })
    if (status === 404) expect((await pushBlob(at.to, blob)).status).toBe(201)
  }
  at.net.clearRequests()
  expect((await pushManifest(at.to, derived.root, 'v2')).status).toBe(201)
  expect(asked(at.net)).toEqual([])
  await loseUpstream(at)
  await expectPullable(at, derived)
  expect((await at.ask(manifestPath('v2'))).headers['docker-content-digest']).toBe(derived.digest)
})

test('images that a pushed index lists are kept with it, and their layers', async () => {
  await using at = await world()
  at.net.plain.put(name, 'v1', both)
  await pullWhole(at, base)
  await pullWhole(at, other)
  expect((await pushManifest(at.to, both.root, 'ours')).status).toBe(201)
  await loseUpstream(at)
  await expectPullable(at, both)
})

test('what was taken over is no tag, and goes on being listed by upstream alone', async () => {
  await using at = await world()
  at.net.plain.put(name, 'v1', base)
  await pullWhole(at, base)
  expect((await pushManifest(at.to, index([base]).root, 'ours')).status).toBe(201)
  const { body } = await at.ask(`/v2/${name}/tags/list`)
  expect(JSON.parse(body.toString())).toEqual({ name, tags: ['ours', 'v1'] })
})

test('what was not pulled through here stays with upstream, which is not asked for it by a push', async () => {
  await using at = await world()
  at.net.plain.put(name, 'v1', both)
  await pullWhole(at, base)
  expect((await pushManifest(at.to, both.root, 'ours')).status).toBe(201)
  expect(asked(at.net)).toEqual([])
  await expectPullable(at, both)
  await loseUpstream(at)
  await expectPullable(at, base)
  expect((await at.ask(manifestPath(other.digest))).status).toBe(503)
})

test('what only another repository of the upstream has is given to nobody who lists it', async () => {
  await using at = await world()
  at.net.plain.put('team/secret', 'v1', both)
  await pullWhole(at, base, 'team/secret')
  for (const stealing of [artifactOf([layer]), index([base])]) {
    await pushBlob(at.to, stealing.blobs[0] ?? layer) // the config, which is nobody's secret
    expect((await pushManifest(at.to, stealing.root)).status).toBe(201)
  }
  expect((await at.ask(blobPath(layer))).status).toBe(404)
  expect((await at.ask(manifestPath(base.digest))).status).toBe(404)
})

test('what was cached of a name that is denied by now is not taken over', async () => {
  await using at = await world()
  at.net.plain.put(name, 'v1', both)
  await pullWhole(at, base)
  const upstreams = [plain(at.net, { options: { deny: ['team/**'] } })]
  await at.layover.reload({ ...at.layover.config, upstreams, local })
  const stealing = index([base])
  expect((await pushManifest(at.to, artifactOf([layer]).root, 'layer')).status).toBe(201)
  expect((await pushManifest(at.to, stealing.root, 'image')).status).toBe(201)
  for (const path of [blobPath(layer), manifestPath(base.digest)])
    expect([path, (await at.ask(path)).status]).toEqual([path, 403])
})
