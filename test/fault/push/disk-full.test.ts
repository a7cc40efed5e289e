/** A disk that has no room for a push, or may not be written: what was there stays, and pushes go on where there is room again. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import { digestOf } from '../../../src/oci/digest.ts'
import { readContent, seededBlob } from '../../fake/bytes.ts'
import { mayMount, readOnly, tinyDisk } from '../mounts.ts'
import { auditPushed } from './crash-check.ts'
import { manifestOf, type PushScene, pushScene } from './crash-scene.ts'
import type { Sent } from './crash-send.ts'

const note = mayMount ? '' : ' (skipped: mounting a small disk needs root)'
const app = 'local/app'
const kiB = 1024
const miB = 1024 * kiB
const small = Buffer.alloc(3 * kiB, 'a small blob ')
const first = manifestOf('first')

describe.skipIf(!mayMount)(`a disk that is full${note}`, () => {
  test('refuses a chunk, keeps the upload with the bytes that it has, and goes on with it', async () => {
    using disk = tinyDisk(24 * miB)
    await using scene = await sceneWithImage(disk.path)
    const content = seededContent(6 * miB)
    const location = await scene.start(app)
    expect((await scene.patch(location, content.subarray(0, miB))).status).toBe(202)
    await disk.fill()
    expectFull(await scene.patch(location, content.subarray(miB, 4 * miB)))
    await expectKept(scene)
    const offset = await offsetOf(scene, location)
    expect(offset).toBeGreaterThanOrEqual(miB)
    expect(offset).toBeLessThan(4 * miB)
    expectFull(await scene.patch(location, content.subarray(offset, offset + miB)))
    await disk.empty()
    const next = await offsetOf(scene, location)
    expect((await scene.patch(location, content.subarray(next, 5 * miB))).status).toBe(202)
    expect((await scene.close(location, digestOf(content), content.subarray(5 * miB))).status).toBe(201)
    await expectBlob(scene, content)
    await expectNoScraps(scene)
  })

  test('refuses a closing PUT, with or without bytes, and takes it when there is room', async () => {
    using disk = tinyDisk(24 * miB)
    await using scene = await sceneWithImage(disk.path)
    const [whole, rest] = [seededContent(3 * miB), Buffer.alloc(2 * miB, 'the rest ')]
    const [complete, begun] = [await scene.start(app), await scene.start(app)]
    expect((await scene.patch(complete, whole)).status).toBe(202)
    await disk.fill()
    expectFull(await scene.close(complete, digestOf(whole)))
    expectFull(await scene.close(begun, digestOf(rest), rest))
    await expectKept(scene)
    await disk.empty()
    const left = await offsetOf(scene, complete)
    expect((await scene.close(complete, digestOf(whole), whole.subarray(left))).status).toBe(201)
    const offset = await offsetOf(scene, begun)
    expect((await scene.close(begun, digestOf(rest), rest.subarray(offset))).status).toBe(201)
    await expectBlob(scene, whole)
    await expectBlob(scene, rest)
    await expectNoScraps(scene)
  })

  test.each([
    ['small', 5 * kiB],
    ['large', 3 * miB],
  ])('refuses a %s blob in one POST, keeps nothing of it, and takes it when there is room', async (_name, size) => {
    using disk = tinyDisk(24 * miB)
    await using scene = await sceneWithImage(disk.path)
    const content = seededContent(size)
    await disk.fill()
    expectFull(await scene.post(app, content))
    expect((await scene.ask(`${app}/blobs/${digestOf(content)}`)).status).toBe(404)
    await expectKept(scene)
    await disk.empty()
    await expectNoScraps(scene)
    expect((await scene.post(app, content)).status).toBe(201)
    await expectBlob(scene, content)
    await expectNoScraps(scene)
  })

  test('tells a client that is still sending a chunk, long before its last byte', async () => {
    using disk = tinyDisk(16 * miB)
    await using scene = await sceneWithImage(disk.path)
    const content = seededContent(64 * miB)
    const location = await scene.start(app)
    expectFull(await scene.patch(location, content))
    expect(await offsetOf(scene, location)).toBeGreaterThan(miB)
    expect((await scene.ask(location, { method: 'DELETE' })).status).toBe(204)
    await expectKept(scene)
    await expectNoScraps(scene)
  })

  test('gives back what it took of one POST, of which the client knows no upload to end', async () => {
    using disk = tinyDisk(16 * miB)
    await using scene = await sceneWithImage(disk.path)
    expectFull(await scene.post(app, seededContent(64 * miB)))
    await expectNoScraps(scene)
    expect((await scene.post(app, seededContent(8 * miB))).status).toBe(201)
  })

  test('refuses an upload, and begins it when there is room', async () => {
    using disk = tinyDisk(24 * miB)
    await using scene = await sceneWithImage(disk.path)
    await disk.fill()
    expectFull(await scene.ask(`${app}/blobs/uploads/`, { method: 'POST' }))
    await expectKept(scene)
    await expectNoScraps(scene)
    await disk.empty()
    const content = seededContent(miB)
    expect((await scene.close(await scene.start(app), digestOf(content), content)).status).toBe(201)
  })

  test('refuses a manifest, moves no tag, and takes it when there is room', async () => {
    using disk = tinyDisk(24 * miB)
    await using scene = await sceneWithImage(disk.path)
    const second = manifestOf('second')
    await disk.fill()
    expectFull(await scene.putManifest(app, 'v1', second))
    await expectKept(scene)
    await expectNoScraps(scene)
    await disk.empty()
    expect((await scene.putManifest(app, 'v1', second)).status).toBe(201)
    const { body } = await scene.ask(`${app}/manifests/v1`)
    expect(body.equals(second)).toBe(true)
  })

  test('refuses a mount of what is cached, and takes it when there is room', async () => {
    using disk = tinyDisk(24 * miB)
    await using scene = await sceneWithImage(disk.path)
    const cached = seededBlob('cached', miB)
    scene.net.plain.putBlob('team/base', cached)
    expect((await scene.ask(`team/base/blobs/${cached.digest}`)).status).toBe(200)
    await linked(scene, cached.digest)
    await disk.fill()
    expectFull(await scene.mount(app, cached.digest, 'team/base'))
    expect((await scene.ask(`${app}/blobs/${cached.digest}`)).status).toBe(404)
    await expectKept(scene)
    await disk.empty()
    expect((await scene.mount(app, cached.digest, 'team/base')).status).toBe(201)
    await expectBlob(scene, readContent(cached.content))
    await expectNoScraps(scene)
  })

  test('still takes deletes, which is how room is made', async () => {
    using disk = tinyDisk(24 * miB)
    await using scene = await sceneWithImage(disk.path)
    await disk.fill()
    const location = `${app}/manifests/${digestOf(first)}`
    expect((await scene.ask(location, { method: 'DELETE' })).status).toBe(202)
    expect((await scene.ask(`${app}/blobs/${digestOf(small)}`, { method: 'DELETE' })).status).toBe(202)
    for (const path of [location, `${app}/manifests/v1`, `${app}/blobs/${digestOf(small)}`])
      expect((await scene.ask(path)).status).toBe(404)
  })

  test('loses nothing that was pushed over a restart', async () => {
    using disk = tinyDisk(24 * miB)
    await using scene = await sceneWithImage(disk.path)
    const content = seededContent(3 * miB)
    const location = await scene.start(app)
    await scene.patch(location, content.subarray(0, miB))
    await disk.fill()
    expectFull(await scene.patch(location, content.subarray(miB)))
    await disk.empty()
    await scene.layover.restart()
    await expectKept(scene)
    const offset = await offsetOf(scene, location)
    expect(offset).toBeGreaterThanOrEqual(miB)
    expect((await scene.close(location, digestOf(content), content.subarray(offset))).status).toBe(201)
    await expectBlob(scene, content)
  })
})

describe.skipIf(!mayMount)(`a disk that may not be written${note}`, () => {
  test('refuses every push clearly, serves what it has, and takes pushes again afterwards', async () => {
    using disk = tinyDisk(24 * miB)
    await using scene = await sceneWithImage(disk.path)
    const content = seededContent(2 * miB)
    const location = await scene.start(app)
    await scene.patch(location, content.subarray(0, miB))
    {
      using _ = readOnly(scene.storePath)
      const answers = [
        await scene.ask(`${app}/blobs/uploads/`, { method: 'POST' }),
        await scene.post(app, content),
        await scene.post(app, seededContent(5 * kiB)),
        await scene.putManifest(app, 'v2', manifestOf('second')),
        await scene.close(location, digestOf(content), content.subarray(miB)),
        await scene.ask(`${app}/manifests/v1`, { method: 'DELETE' }),
      ]
      for (const answer of answers) expect(expectRefused(answer).message).toMatch(/writ|read-only/)
      await expectKept(scene)
    }
    const offset = await offsetOf(scene, location)
    expect((await scene.close(location, digestOf(content), content.subarray(offset))).status).toBe(201)
    await expectBlob(scene, content)
    expect((await scene.putManifest(app, 'v2', manifestOf('second'))).status).toBe(201)
  })
})

/** A blob and an image under `v1`, pushed while there was room. */
async function sceneWithImage(path: string): Promise<PushScene> {
  const scene = await pushScene(path)
  expect((await scene.post(app, small)).status).toBe(201)
  expect((await scene.putManifest(app, 'v1', first)).status).toBe(201)
  return scene
}

function seededContent(size: number): Buffer {
  return readContent(seededBlob('pushed', size).content)
}

/** An OCI error that says what is the matter. */
function expectFull(answer: Sent): void {
  const { code, message } = expectRefused(answer)
  expect([code, message]).toEqual(['STORAGE_FULL', expect.stringMatching(/disk .*full/)])
  expect(answer.status).toBe(507)
}

function expectRefused({ status, headers, body }: Sent): { code: string; message: string } {
  expect(status, body.toString()).toBeGreaterThanOrEqual(500)
  expect(headers['content-type']).toMatch('application/json')
  const { errors } = JSON.parse(body.toString()) as { errors: { code: string; message: string }[] }
  const [error = { code: '', message: '' }] = errors
  expect(error.message).not.toMatch(/\/tmp|E[A-Z]{4}/) // neither paths nor the system's own words
  return error
}

async function expectKept(scene: PushScene): Promise<void> {
  await expectBlob(scene, small)
  const tag = await scene.ask(`${app}/manifests/v1`)
  expect([tag.status, tag.body.equals(first)]).toEqual([200, true])
  const list = await scene.ask(`${app}/tags/list`)
  expect(JSON.parse(list.body.toString())).toMatchObject({ tags: ['v1'] })
}

async function expectBlob(scene: PushScene, content: Buffer): Promise<void> {
  const { status, body } = await scene.ask(`${app}/blobs/${digestOf(content)}`)
  expect([status, body.equals(content)]).toEqual([200, true])
}

async function expectNoScraps(scene: PushScene): Promise<void> {
  await scene.untilNoScraps()
  await auditPushed(scene.storePath)
}

async function offsetOf(scene: PushScene, location: string): Promise<number> {
  const { status, headers, body } = await scene.ask(location)
  expect(status, body.toString()).toBe(204)
  const last = Number(/^0-(\d+)$/.exec(headers.range ?? '')?.[1])
  return last === 0 ? 0 : last + 1
}

/** A cached blob can be mounted once its repository's link is written, which is behind the answer. */
async function linked({ storePath }: PushScene, digest: string): Promise<void> {
  const name = digest.replace(':', '-')
  const path = join(storePath, 'names', 'plain.test', 'team', 'base', '_blobs', name)
  await vi.waitFor(() => readFile(path), { timeout: 10_000 })
}
