/** What becomes of a manifest whose parts its repository does not hold. */
import { describe, expect, test } from 'vitest'
import { digestOf } from '../../../src/oci/digest.ts'
import { mediaTypes } from '../../../src/oci/media-type.ts'
import { readContent, seededBlob } from '../../fake/bytes.ts'
import { artifact, image, index, multiArch, raw, type StoredManifest } from '../../fake/content.ts'
import { errorsOf, name, type PushScene, pushScene } from './scene.ts'

const app = image('app', { layers: [1_000, 2_000, 3_000] })
const blob = seededBlob('here', 1_000)
const absent = seededBlob('absent', 1_000)

const refusing = () =>
  pushScene({ local: [{ name: 'local', match: 'local/**', missingReferences: 'refuse' }] })

const descriptor = (
  { digest, size }: { digest: string; size: number },
  mediaType = 'application/x-layer',
) => ({
  mediaType,
  digest,
  size,
})
const imageOf = (fields: object) =>
  raw(JSON.stringify({ schemaVersion: 2, layers: [], ...fields }), mediaTypes.ociManifest)
const indexOf = (...manifests: object[]) =>
  raw(JSON.stringify({ schemaVersion: 2, manifests }), mediaTypes.ociIndex)

/** One MANIFEST_BLOB_UNKNOWN for each of these, and nothing was kept. */
async function expectMissing(
  at: PushScene,
  manifest: StoredManifest,
  missing: readonly string[],
): Promise<void> {
  for (const reference of [manifest.digest, 'v1', `${manifest.digest}?tag=v2`]) {
    const answer = await at.put(manifest, reference)
    expect(answer.status, answer.body.toString()).toBe(400)
    const errors = errorsOf(answer)
    expect(errors.map(({ code }) => code)).toEqual(missing.map(() => 'MANIFEST_BLOB_UNKNOWN'))
    for (const digest of missing)
      expect(errors.filter(error => JSON.stringify(error).includes(digest))).toHaveLength(1)
  }
  for (const reference of [manifest.digest, 'v1', 'v2'])
    expect((await at.ask(`/v2/${name}/manifests/${reference}`)).status).toBe(404)
}

describe('as it comes', () => {
  test.each([
    ['an image without its config and layers', app.root],
    ['an index without its images', multiArch('multi').root],
    ['a referrer without its subject', artifact('sbom', { subject: app.root }).root],
  ])('%s is kept', async (_, manifest) => {
    await using at = await pushScene()
    expect((await at.put(manifest, 'v1')).status).toBe(201)
    expect((await at.ask(`/v2/${name}/manifests/v1`)).body.equals(manifest.body)).toBe(true)
  })
})

describe('missingReferences: refuse', () => {
  test('answers 400 MANIFEST_BLOB_UNKNOWN, one for each part that is missing, until none is', async () => {
    await using at = await refusing()
    const left = app.blobs.map(({ digest }) => digest)
    for (const { content } of app.blobs) {
      await expectMissing(at, app.root, left)
      left.splice(left.indexOf((await at.push(readContent(content))) as (typeof left)[number]), 1)
    }
    expect((await at.put(app.root, 'v1')).status).toBe(201)
  })

  test('looks for the images of an index among manifests, and for its other children among blobs', async () => {
    await using at = await refusing()
    const child = imageOf({})
    const list = indexOf(
      descriptor({ digest: child.digest, size: child.body.length }, mediaTypes.ociManifest),
      descriptor(blob, 'application/vnd.buildkit.cacheconfig.v0'),
    )
    await expectMissing(at, list, [child.digest, blob.digest])
    await at.push(readContent(blob.content))
    await expectMissing(at, list, [child.digest])
    expect((await at.put(child)).status).toBe(201)
    expect((await at.put(list, 'v1')).status).toBe(201)
  })

  test('does not take for here what another repository holds', async () => {
    await using at = await refusing()
    for (const { content } of app.blobs) await at.push(readContent(content), 'local/other')
    expect((await at.put(app.root, 'v1', 'local/other')).status).toBe(201)
    await expectMissing(
      at,
      app.root,
      app.blobs.map(({ digest }) => digest),
    )
    await expectMissing(at, index([app]).root, [app.digest])
  })

  test('does not take a blob for a manifest that an index lists', async () => {
    await using at = await refusing()
    await at.push(app.root.body)
    await expectMissing(at, index([app]).root, [app.digest])
  })

  test('knows what was deleted for missing', async () => {
    await using at = await refusing()
    await at.push(readContent(blob.content))
    const manifest = imageOf({ layers: [descriptor(blob)] })
    expect((await at.put(manifest)).status).toBe(201)
    for (const path of [`manifests/${manifest.digest}`, `blobs/${blob.digest}`])
      expect((await at.ask(`/v2/${name}/${path}`, { method: 'DELETE' })).status).toBe(202)
    await expectMissing(at, manifest, [blob.digest])
  })

  test.each<[string, object]>([
    ['a subject', { subject: descriptor(absent, mediaTypes.ociManifest) }],
    ['a layer with urls', { layers: [{ ...descriptor(absent), urls: ['https://x.test/layer'] }] }],
    [
      'a nondistributable layer',
      { layers: [descriptor(absent, 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip')] },
    ],
    [
      'a foreign layer of Docker',
      { layers: [descriptor(absent, 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip')] },
    ],
  ])('does not ask for %s', async (_, fields) => {
    await using at = await refusing()
    await at.push(readContent(blob.content))
    const manifest = imageOf({ config: descriptor(blob), ...fields })
    expect((await at.put(manifest, 'v1')).status).toBe(201)
    const more = imageOf({
      config: descriptor(blob),
      ...fields,
      layers: [descriptor(seededBlob('more', 10))],
    })
    expect((await at.put(more, 'v2')).status).toBe(400)
  })

  test('counts a part that is listed twice once, and takes sha512', async () => {
    await using at = await refusing()
    const body = readContent(absent.content)
    const long = { digest: digestOf(body, 'sha512'), size: body.length }
    const manifest = imageOf({ config: descriptor(long), layers: [descriptor(long), descriptor(long)] })
    await expectMissing(at, manifest, [long.digest])
    await at.ask(`/v2/${name}/blobs/uploads/?digest=${long.digest}`, { method: 'POST', body })
    expect((await at.put(manifest, 'v1')).status).toBe(201)
  })
})
