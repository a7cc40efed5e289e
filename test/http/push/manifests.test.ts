/** Pushing manifests (distribution-spec, end-7a): kept byte for byte, or refused with a reason. */
import { describe, expect, test } from 'vitest'
import { digestOf } from '../../../src/oci/digest.ts'
import { mediaTypes } from '../../../src/oci/media-type.ts'
import { artifact, image, index, multiArch, raw, type StoredManifest, single } from '../../fake/content.ts'
import type { Answered } from '../scene.ts'
import { locationOf, name, type Payload, type PushScene, pushScene } from './scene.ts'

const app = image('app').root
const oci = mediaTypes.ociManifest

const config = {
  mediaType: 'application/vnd.oci.empty.v1+json',
  digest: digestOf(Buffer.from('{}')),
  size: 2,
}
const imageOf = (fields: object, type: string = oci) =>
  raw(JSON.stringify({ schemaVersion: 2, mediaType: type, config, layers: [], ...fields }), type)
const indexOf = (fields: object) =>
  raw(
    JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [], ...fields }),
    mediaTypes.ociIndex,
  )

interface Odd {
  reference: string
  body: Payload
  type?: string
}

const putAs = (at: PushScene, { reference, body, type }: Odd): Promise<Answered> =>
  at.ask(`/v2/${name}/manifests/${reference}`, {
    method: 'PUT',
    headers: type === undefined ? {} : { 'content-type': type },
    body,
  })

async function expectServed(at: PushScene, reference: string, { digest, mediaType, body }: StoredManifest) {
  const path = `/v2/${name}/manifests/${reference}`
  for (const method of ['GET', 'HEAD']) {
    const answer = await at.ask(path, { method })
    expect([answer.status, answer.headers['content-type']]).toEqual([200, mediaType])
    expect(answer.headers['docker-content-digest']).toBe(digest)
    expect(answer.headers['content-length']).toBe(String(body.length))
    if (method === 'GET') expect(answer.body.equals(body)).toBe(true)
  }
}

describe('a manifest', () => {
  test.each<[string, (body: Buffer) => Payload]>([
    ['with Content-Length', body => body],
    ['chunked', body => [body.subarray(0, 1), body.subarray(1)]],
  ])('is pushed %s, by tag and by digest: 201, Location, Docker-Content-Digest', async (_, payload) => {
    await using at = await pushScene()
    for (const reference of [app.digest, encodeURIComponent(app.digest), 'v1', 'a'.repeat(128), '_X.y-z']) {
      const answer = await putAs(at, { reference, body: payload(app.body), type: oci })
      expect([answer.status, answer.headers['content-length']]).toEqual([201, '0'])
      expect(answer.headers['docker-content-digest']).toBe(app.digest)
      expect(answer.headers.location).toBe(`/v2/${name}/manifests/${app.digest}`)
      expect([answer.headers['oci-subject'], answer.headers['oci-tag']]).toEqual([undefined, undefined])
      await expectServed(at, reference, app)
      expect((await at.ask(locationOf(answer))).body.equals(app.body)).toBe(true)
    }
  })

  test('keeps its bytes, however they are written', async () => {
    await using at = await pushScene()
    const text = `\n\t{ "schemaVersion" : 2.0, "layers":[],\r\n"layers": [ ] ,"config":${JSON.stringify(config)}, "é":"\\u00e9" }\n \n`
    const odd = raw(text, oci)
    expect((await at.put(odd, 'odd')).status).toBe(201)
    await expectServed(at, 'odd', odd)
  })

  test('is had under sha512 when it was pushed so', async () => {
    await using at = await pushScene()
    const long = image('long', { algorithm: 'sha512' }).root
    const answer = await at.put(long)
    expect(answer.headers['docker-content-digest']).toBe(long.digest)
    await expectServed(at, long.digest, long)
    expect((await at.put(long, 'v1')).headers['docker-content-digest']).toBe(digestOf(long.body))
    await expectServed(at, 'v1', { ...long, digest: digestOf(long.body) })
  })

  test('pushed again is 201 again, and moves a tag; the old one stays under its digest', async () => {
    await using at = await pushScene()
    const next = image('next').root
    for (const manifest of [app, app, next, app, next]) {
      expect((await at.put(manifest, 'v1')).status).toBe(201)
      await expectServed(at, 'v1', manifest)
    }
    await expectServed(at, app.digest, app)
  })
})

describe('every kind of manifest is kept as it is:', () => {
  const image2 = image('docker', { format: 'docker' })
  const kinds: Record<string, StoredManifest> = {
    'an OCI image': app,
    'an OCI index': multiArch('multi').root,
    'an image of Docker schema 2': image2.root,
    'a manifest list of Docker': multiArch('list', { format: 'docker' }).root,
    'an artifact': artifact('sbom').root,
    'an OCI artifact manifest': raw(
      JSON.stringify({ mediaType: mediaTypes.ociArtifact, artifactType: 'a/b', blobs: [] }),
      mediaTypes.ociArtifact,
    ),
    'a type that nobody knows': raw('{"anything":[1,2,{"x":null}]}', 'application/vnd.example.thing.v9+json'),
    'an index of indexes': index([index([image('a')]), multiArch('b')]).root,
    'an empty index': indexOf({}),
    'an index of blobs, as BuildKit exported caches': indexOf({
      manifests: [{ mediaType: 'application/vnd.buildkit.cacheconfig.v0', digest: config.digest, size: 2 }],
    }),
    'an image without layers': imageOf({}),
    'an image with unknown fields': imageOf({ extra: { nested: [1] }, layers: [{ ...config, odd: 1 }] }),
    'an image with a config and layers of unknown types': imageOf({
      config: { ...config, mediaType: 'application/vnd.unknown' },
      layers: [{ ...config, mediaType: 'x/y' }],
    }),
    'an image with embedded data': imageOf({ config: { ...config, data: 'e30=' } }),
    'an image with layers that are hosted elsewhere': image('foreign', { foreignUrls: ['https://x.test/'] })
      .root,
  }
  const manifests = Object.entries(kinds)

  test.each(manifests)('%s', async (_, manifest) => {
    await using at = await pushScene()
    for (const reference of [manifest.digest, 'v1']) {
      expect((await at.put(manifest, reference)).status).toBe(201)
      await expectServed(at, reference, manifest)
    }
  })
})

describe('Content-Type', () => {
  test.each([
    `${oci}; charset=utf-8`,
    `${oci};charset="UTF-8";q=1`,
    ` ${oci} `,
  ])('"%s" is taken without its parameters', async type => {
    await using at = await pushScene()
    expect((await putAs(at, { reference: 'v1', body: app.body, type })).status).toBe(201)
    await expectServed(at, 'v1', app)
  })

  test.each<[string, string, object]>([
    ['mediaType', mediaTypes.dockerList, { mediaType: mediaTypes.dockerList, manifests: [] }],
    ['config', oci, { config, layers: [] }],
    ['layers', oci, { layers: [] }],
    ['manifests', mediaTypes.ociIndex, { manifests: [] }],
  ])('that is missing is told from %s', async (_, mediaType, fields) => {
    await using at = await pushScene()
    const manifest = raw(JSON.stringify({ schemaVersion: 2, ...fields }), mediaType)
    expect((await putAs(at, { reference: 'v1', body: manifest.body })).status).toBe(201)
    await expectServed(at, 'v1', manifest)
  })

  test.each([
    [mediaTypes.dockerManifest, app.body],
    [mediaTypes.ociIndex, app.body],
    [oci, multiArch('multi').root.body],
    ['text/plain', app.body],
    ['application/octet-stream', app.body],
    ['nonsense', app.body],
    [undefined, Buffer.from('{"schemaVersion":2}')],
  ])('%s that the body contradicts, or that is no manifest’s, is 400', async (type, body) => {
    await using at = await pushScene()
    const answer = await putAs(at, { reference: 'v1', body, ...(type === undefined ? {} : { type }) })
    expect(at.failure(answer)).toEqual([400, 'MANIFEST_INVALID'])
    expect((await at.ask(`/v2/${name}/manifests/v1`)).status).toBe(404)
  })
})

describe('what is no manifest is 400:', () => {
  test.each<[string, string | Buffer, string]>([
    ['nothing', '', oci],
    ['no JSON', 'FROM scratch', oci],
    ['half a JSON', app.body.subarray(0, -2), oci],
    ['a list', '[]', oci],
    ['null', 'null', oci],
    ['a text', '"manifest"', mediaTypes.ociIndex],
    ['schemaVersion 1', '{"schemaVersion":1,"layers":[]}', oci],
    ['schemaVersion 3', '{"schemaVersion":3,"manifests":[]}', mediaTypes.ociIndex],
    ['an image that is an index too', '{"schemaVersion":2,"layers":[],"manifests":[]}', oci],
    ['an index that has a config too', '{"schemaVersion":2,"config":{},"manifests":[]}', mediaTypes.ociIndex],
    ['schema 1', '{"schemaVersion":1}', 'application/vnd.docker.distribution.manifest.v1+json'],
    ['signed schema 1', '{"schemaVersion":1}', 'application/vnd.docker.distribution.manifest.v1+prettyjws'],
  ])('%s', async (_, body, mediaType) => {
    await using at = await pushScene()
    const manifest = raw(body, mediaType)
    for (const reference of ['v1', manifest.digest]) {
      expect(at.failure(await at.put(manifest, reference))).toEqual([400, 'MANIFEST_INVALID'])
      expect((await at.ask(`/v2/${name}/manifests/${reference}`)).status).toBe(404)
    }
  })

  test('schema 1 without a Content-Type', async () => {
    await using at = await pushScene()
    const body = Buffer.from('{"schemaVersion":1,"name":"a","tag":"b","fsLayers":[],"history":[]}')
    expect(at.failure(await putAs(at, { reference: 'v1', body }))).toEqual([400, 'MANIFEST_INVALID'])
  })
})

describe('a reference', () => {
  test.each([
    ['two spaces more', Buffer.concat([app.body, Buffer.from('  ')])],
    ['another manifest', image('other').root.body],
  ])('whose digest the body does not have (%s) is 400', async (_, body) => {
    for (const digest of [app.digest, digestOf(app.body, 'sha512')]) {
      await using at = await pushScene()
      const answer = await putAs(at, { reference: digest, body, type: oci })
      expect(at.failure(answer)).toEqual([400, 'DIGEST_INVALID'])
      expect((await at.ask(`/v2/${name}/manifests/${digest}`)).status).toBe(404)
    }
  })

  test.each([
    ['sha256:baddigeststring', 'DIGEST_INVALID'],
    [app.digest.toUpperCase().replace('SHA', 'sha'), 'DIGEST_INVALID'],
    [`blake3:${'a'.repeat(64)}`, 'DIGEST_INVALID'],
    ['.INVALID_MANIFEST_NAME', 'MANIFEST_INVALID'],
    ['-x', 'MANIFEST_INVALID'],
    ['a'.repeat(129), 'MANIFEST_INVALID'],
    ['a%20b', 'MANIFEST_INVALID'],
    ['%C3%A9', 'MANIFEST_INVALID'],
  ])('%s that is neither tag nor digest is 400', async (reference, code) => {
    await using at = await pushScene()
    const answer = await putAs(at, { reference, body: app.body, type: oci })
    expect(at.failure(answer)).toEqual([400, code])
  })
})

describe('limits.manifest', () => {
  const sized = (size: number) => {
    const empty = imageOf({ annotations: { padding: '' } })
    return imageOf({ annotations: { padding: 'x'.repeat(size - empty.body.length) } })
  }

  test.each<[string, (body: Buffer) => Payload]>([
    ['with Content-Length', body => body],
    ['chunked', body => [body.subarray(0, 5_000), body.subarray(5_000)]],
  ])('lets its own size pass and answers 413 to one byte more, %s', async (_, payload) => {
    await using at = await pushScene({ limits: { manifest: 10_000 } })
    const fitting = sized(10_000)
    const put = (body: Buffer) => putAs(at, { reference: 'v1', body: payload(body), type: oci })
    expect((await put(fitting.body)).status).toBe(201)
    expect(at.failure(await put(sized(10_001).body))).toEqual([413, 'MANIFEST_INVALID'])
    await expectServed(at, 'v1', fitting)
  })

  test('lets manifests of nearly 4 MiB pass as it comes, and ends one that never ends', async () => {
    await using at = await pushScene()
    const large = sized(3_999_000)
    expect((await putAs(at, { reference: 'v1', body: [large.body], type: oci })).status).toBe(201)
    await expectServed(at, 'v1', large)
    const endless = at.begin(`/v2/${name}/manifests/v2`, {
      method: 'PUT',
      headers: { 'transfer-encoding': 'chunked', 'content-type': oci },
    })
    for (let sent = 0; sent < 5 * 2 ** 20; sent += 2 ** 16) endless.write(Buffer.alloc(2 ** 16, ' '))
    expect((await endless.answer()).status).toBe(413)
    endless.cut()
  })
})

describe('a subject', () => {
  const absent = image('absent').root
  const about = (subject: StoredManifest) => ({
    subject: { mediaType: subject.mediaType, digest: subject.digest, size: subject.body.length },
  })

  test.each([
    ['an image', imageOf(about(app))],
    ['an index', indexOf(about(app))],
    ['an image, of a subject that is not here', imageOf(about(absent))],
    ['an index, of a subject that is not here', indexOf(about(absent))],
  ])('of %s is echoed as OCI-Subject by tag and by digest, and listed at once', async (_, manifest) => {
    await using at = await pushScene()
    await at.put(app)
    const { subject } = JSON.parse(manifest.body.toString()) as { subject: { digest: string } }
    for (const reference of ['v1', manifest.digest, `${manifest.digest}?tag=v2`])
      expect((await at.put(manifest, reference)).headers['oci-subject']).toBe(subject.digest)
    const list = await at.ask(`/v2/${name}/referrers/${subject.digest}`)
    expect(JSON.parse(list.body.toString()).manifests).toEqual([
      expect.objectContaining({ digest: manifest.digest, size: manifest.body.length }),
    ])
  })

  test('of a manifest that was refused is listed nowhere', async () => {
    await using at = await pushScene()
    await at.put(single(imageOf(about(app))).root, image('wrong').digest)
    const list = await at.ask(`/v2/${name}/referrers/${app.digest}`)
    expect([list.status, JSON.parse(list.body.toString()).manifests]).toEqual([200, []])
  })
})
