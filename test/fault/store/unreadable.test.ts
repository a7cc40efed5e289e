/** A store that cannot be read: every pull goes on as if nothing were there, and the log says so once. */
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import { parseDigest } from '../../../src/oci/digest.ts'
import { Layout } from '../../../src/store/layout.ts'
import { image } from '../../fake/content.ts'
import { layerOf, plain, type Scene, scene } from '../../http/scene.ts'
import { workersOfSuite } from '../../support/servers.ts'
import { mayMount, readOnly } from '../mounts.ts'

const app = image('app', { layers: [100_000] })
const manifest = '/v2/app/manifests/v1'
const blob = `/v2/app/blobs/${layerOf(app).digest}`

async function startWithImage() {
  const at = await scene({ upstreams: net => [plain(net)] })
  at.net.plain.put('app', 'v1', app)
  return at
}

async function expectPulls(at: Scene) {
  for (const path of [manifest, blob, manifest, blob]) expect((await at.ask(path)).status).toBe(200)
  expect((await at.ask(blob)).body).toHaveLength(100_000)
}

const complaints = (at: Scene) =>
  at.layover.lines.filter(({ msg }) => String(msg).startsWith('the store cannot be read'))

test('bytes that cannot be opened are fetched from upstream', async () => {
  await using at = await startWithImage()
  const layout = new Layout(at.layover.storePath)
  for (const { digest } of [app.root, ...app.blobs]) {
    const shard = dirname(layout.cached(parseDigest(digest)))
    await mkdir(dirname(shard), { recursive: true })
    await writeFile(shard, 'a file where a folder should be: ENOTDIR')
  }
  await expectPulls(at)
  const said = complaints(at).length
  expect(said).toBeGreaterThan(0)
  expect(said).toBeLessThanOrEqual(workersOfSuite === 1 ? 1 : workersOfSuite + 1) // once a process
})

test('records that cannot be read are as good as none', async () => {
  await using at = await startWithImage()
  const names = join(at.layover.storePath, 'names/plain.example/app')
  await mkdir(join(names, '_tags/v1'), { recursive: true })
  await mkdir(join(names, '_blobs', layerOf(app).digest.replace(':', '-')), { recursive: true })
  await expectPulls(at)
  expect(complaints(at)).toHaveLength(1)
})

test('a damaged manifest is not given to a repository that asks for it for the first time', async () => {
  await using at = await startWithImage()
  at.net.plain.put('other', 'v1', app)
  await at.warm(manifest)
  const path = new Layout(at.layover.storePath).cached(parseDigest(app.root.digest))
  await vi.waitFor(() => expect(at.layover.lines.length).toBeGreaterThan(0))
  await at.layover.restart()
  await writeFile(path, '')
  const found = await at.ask(`/v2/other/manifests/${app.root.digest}`)
  expect([found.status, found.body.equals(app.root.body)]).toEqual([200, true])
})

describe.skipIf(!mayMount)('(as root, who may mount) a disk that turned read-only', () => {
  test('does not stand in the way of a blob that is damaged on it', async () => {
    await using at = await startWithImage()
    await at.warm(manifest, blob)
    await writeFile(new Layout(at.layover.storePath).cached(parseDigest(layerOf(app).digest)), 'short')
    using _ = readOnly(join(at.layover.storePath, 'cached'))
    await expectPulls(at)
    await at.layover.stop() // a disk that is in use cannot be taken away
  })

  test('does not keep upstream from saying that a tag is gone', async () => {
    const policy = { onNotFound: { serveForMs: 0 } }
    await using at = await scene({ upstreams: net => [plain(net, { policy })] })
    at.net.plain.put('app', 'v1', app)
    await at.warm(manifest)
    at.net.fault({ kind: 'status', status: 404, path: /manifests/ })
    at.clock.advance(3_600_000)
    using _ = readOnly(join(at.layover.storePath, 'names'))
    expect((await at.ask(manifest)).status).toBe(404)
    await at.layover.stop()
  })
})
