/** Pulling what was pushed: manifests and blobs of local names, exactly as they came, and nothing else. */
import { rm, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { Layout } from '../../src/store/layout.ts'
import { splitMultipart } from '../clients/multipart.ts'
import { readContent, seededBlob } from '../fake/bytes.ts'
import { artifactOf, emptyBlob, image, multiArch, raw, single } from '../fake/content.ts'
import { pushBlob, pushBlobInSession, pushBundle, pushManifest } from './push-client.ts'
import { errorOf, scene } from './scene.ts'

const app = image('app', { layers: [3_000] })
const name = 'local/team/app'
const immutable = 'max-age=31536000, immutable'

async function world() {
  const at = await scene()
  return { ...at, to: { url: at.layover.url, name }, layout: new Layout(at.layover.storePath) }
}

describe('a manifest', () => {
  test('is served by tag and by digest with the bytes, type and digest it was pushed with', async () => {
    await using at = await world()
    const bundle = multiArch('multi', { layers: [100] })
    await pushBundle(at.to, bundle, 'v1')
    for (const reference of ['v1', bundle.digest]) {
      const path = `/v2/${name}/manifests/${reference}`
      const answer = await at.ask(path)
      expect(answer.status).toBe(200)
      expect(answer.body.equals(bundle.root.body)).toBe(true)
      expect(answer.headers).toMatchObject({
        'content-type': bundle.root.mediaType,
        'content-length': String(bundle.root.body.length),
        'docker-content-digest': bundle.digest,
        etag: `"${bundle.digest}"`,
        'cache-control': reference === 'v1' ? 'no-cache' : immutable,
        'cache-status': 'layover; hit',
      })
      const head = await at.ask(path, { method: 'HEAD' })
      expect([head.status, head.body.length]).toEqual([200, 0])
      for (const header of [
        'content-type',
        'content-length',
        'docker-content-digest',
        'etag',
        'cache-control',
      ])
        expect([header, head.headers[header]]).toEqual([header, answer.headers[header]])
    }
    for (const child of bundle.manifests)
      expect((await at.ask(`/v2/${name}/manifests/${child.digest}`)).body.equals(child.body)).toBe(true)
    expect(at.net.requests()).toEqual([])
  })

  test('answers 304 to whoever has it', async () => {
    await using at = await world()
    await pushBundle(at.to, app, 'v1')
    for (const tag of [`"${app.digest}"`, app.digest, `W/"${app.digest}"`]) {
      const answer = await at.ask(`/v2/${name}/manifests/v1`, { headers: { 'if-none-match': tag } })
      expect([answer.status, answer.body.length]).toEqual([304, 0])
      expect(answer.headers.etag).toBe(`"${app.digest}"`)
    }
    const other = { 'if-none-match': `"sha256:${'0'.repeat(64)}"` }
    expect((await at.ask(`/v2/${name}/manifests/v1`, { headers: other })).status).toBe(200)
  })

  test('under a tag has the digest in the algorithm it was pushed with', async () => {
    await using at = await world()
    const long = image('long', { layers: [100], algorithm: 'sha512' })
    await pushBundle(at.to, long)
    const pushed = await pushManifest(at.to, long.root, `${long.digest}?tag=v512`)
    expect(pushed.status).toBe(201)
    const answer = await at.ask(`/v2/${name}/manifests/v512`)
    expect(answer.headers['docker-content-digest']).toBe(long.digest)
    expect(answer.body.equals(long.root.body)).toBe(true)
  })

  test('keeps a media type that nobody knows', async () => {
    await using at = await world()
    const odd = raw(
      '{"schemaVersion":2,"mediaType":"application/vnd.example.odd+json"}',
      'application/vnd.example.odd+json',
    )
    await pushBundle(at.to, single(odd), 'odd')
    const answer = await at.ask(`/v2/${name}/manifests/odd`)
    expect(answer.headers['content-type']).toBe('application/vnd.example.odd+json')
    expect(answer.body.equals(odd.body)).toBe(true)
  })

  test('is a 404 where its repository does not hold it, also when another does', async () => {
    await using at = await world()
    await pushBundle(at.to, app, 'v1')
    const paths = [`${name}/manifests/v2`, `local/other/manifests/v1`, `local/other/manifests/${app.digest}`]
    for (const path of [...paths, `${name}/manifests/.INVALID_MANIFEST_NAME`]) {
      const answer = await at.ask(`/v2/${path}`)
      expect([path, answer.status, errorOf(answer).code]).toEqual([path, 404, 'MANIFEST_UNKNOWN'])
    }
    expect(at.net.requests()).toEqual([])
  })

  test.each([
    'missing',
    'cut short',
    'longer',
  ])('whose bytes are %s is an error, and no 404', async damage => {
    await using at = await world()
    await pushBundle(at.to, app, 'v1')
    const path = at.layout.pushed(app.digest)
    if (damage === 'missing') await rm(path)
    else await writeFile(path, damage === 'longer' ? Buffer.concat([app.root.body, Buffer.from(' ')]) : '{')
    for (const reference of ['v1', app.digest]) {
      const answer = await at.ask(`/v2/${name}/manifests/${reference}`)
      expect(answer.status).toBe(500)
      expect(errorOf(answer)).toMatchObject({ message: expect.stringContaining('push') })
      expect((await at.ask(`/v2/${name}/manifests/${reference}`, { method: 'HEAD' })).status).toBe(500)
    }
    expect(at.layover.lines).toContainEqual(
      expect.objectContaining({
        level: 'error',
        repository: name,
        digest: app.digest,
        expected: app.root.body.length,
      }),
    )
    await pushManifest(at.to, app.root, 'v1')
    expect((await at.ask(`/v2/${name}/manifests/v1`)).body.equals(app.root.body)).toBe(true)
  })
})

describe('a blob', () => {
  const blob = seededBlob('local', 300_000)
  const path = `/v2/${name}/blobs/${blob.digest}`

  test('is served whole, with all that a client goes by, and HEAD says the same', async () => {
    await using at = await world()
    await pushBlob(at.to, blob)
    const answer = await at.ask(path)
    expect(answer.status).toBe(200)
    expect(answer.body.equals(readContent(blob.content))).toBe(true)
    const headers = {
      'content-type': 'application/octet-stream',
      'content-length': '300000',
      'docker-content-digest': blob.digest,
      'accept-ranges': 'bytes',
      etag: `"${blob.digest}"`,
      'cache-control': immutable,
    }
    expect(answer.headers).toMatchObject(headers)
    const head = await at.ask(path, { method: 'HEAD' })
    expect([head.status, head.body.length]).toEqual([200, 0])
    expect(head.headers).toMatchObject(headers)
    const unchanged = await at.ask(path, { headers: { 'if-none-match': `"${blob.digest}"` } })
    expect(unchanged.status).toBe(304)
  })

  test.each([
    ['bytes=500-1499', 500, 1_499],
    ['bytes=500-', 500, 299_999],
    ['bytes=-500', 299_500, 299_999],
    ['bytes=299000-400000', 299_000, 299_999],
  ])('%s is answered with just these bytes', async (range, first, last) => {
    await using at = await world()
    await pushBlob(at.to, blob)
    const answer = await at.ask(path, { headers: { range } })
    expect([answer.status, answer.headers['content-range']]).toEqual([206, `bytes ${first}-${last}/300000`])
    expect(answer.body.equals(readContent(blob.content, first, last + 1))).toBe(true)
    const other = { range, 'if-range': '"sha256:0"' }
    expect((await at.ask(path, { headers: other })).status).toBe(200)
  })

  test.each(['bytes=500-0', 'bytes=300000-400000', 'bytes=-0'])('%s is answered 416', async range => {
    await using at = await world()
    await pushBlob(at.to, blob)
    const answer = await at.ask(path, { headers: { range } })
    expect([answer.status, answer.headers['content-range']]).toEqual([416, 'bytes */300000'])
    expect(answer.headers['cache-status']).toBeUndefined()
  })

  test('several ranges come as parts', async () => {
    await using at = await world()
    await pushBlob(at.to, blob)
    const answer = await at.ask(path, { headers: { range: 'bytes=0-99,1000-1099' } })
    expect(answer.status).toBe(206)
    const parts = splitMultipart(answer.headers['content-type'] ?? '', answer.body)
    expect(parts.map(part => part.length)).toEqual([100, 100])
  })

  test('of no bytes is served, with and without a range', async () => {
    await using at = await world()
    await pushBlob(at.to, emptyBlob)
    for (const headers of [{}, { range: 'bytes=0-9' }]) {
      const answer = await at.ask(`/v2/${name}/blobs/${emptyBlob.digest}`, { headers })
      expect([answer.status, answer.headers['content-length']]).toEqual([200, '0'])
    }
  })

  test('belongs to the repository it was pushed to, and is not had by listing it elsewhere', async () => {
    await using at = await world()
    await pushBlob(at.to, blob)
    const thief = { url: at.layover.url, name: 'local/thief' }
    await pushManifest(thief, artifactOf([blob]).root, 'v1')
    for (const method of ['GET', 'HEAD'])
      expect((await at.ask(`/v2/local/thief/blobs/${blob.digest}`, { method })).status).toBe(404)
  })

  test.each([
    'missing',
    'cut short',
  ])('whose bytes are %s is an error, and is taken again when pushed', async damage => {
    await using at = await world()
    await pushBlob(at.to, blob)
    if (damage === 'missing') await rm(at.layout.pushed(blob.digest))
    else await writeFile(at.layout.pushed(blob.digest), 'short')
    const answer = await at.ask(path)
    expect([answer.status, errorOf(answer).code]).toEqual([500, 'UNKNOWN'])
    // A pusher who is told that it is there would never bring it.
    expect((await at.ask(path, { method: 'HEAD' })).status).toBe(404)
    expect(at.layover.lines).toContainEqual(expect.objectContaining({ level: 'error', digest: blob.digest }))
    expect((await pushBlobInSession(at.to, blob)).status).toBe(201)
    expect((await at.ask(path)).body.equals(readContent(blob.content))).toBe(true)
  })

  test('survives a restart', async () => {
    await using at = await world()
    await pushBundle(at.to, app, 'v1')
    await at.layover.restart()
    expect((await at.ask(`/v2/${name}/manifests/v1`)).body.equals(app.root.body)).toBe(true)
    for (const { digest, content } of app.blobs)
      expect((await at.ask(`/v2/${name}/blobs/${digest}`)).body.equals(readContent(content))).toBe(true)
  })
})

describe('a digest', () => {
  const foreign = `blake3:${'0a'.repeat(32)}`

  test.each([
    'local/app',
    'docker.io/alpine',
  ])('of an algorithm that is unknown here is a 404 under %s, and one that is none a 400', async repository => {
    await using at = await scene()
    for (const [digest, status] of [
      [foreign, 404],
      ['sha256:bad', 400],
      ['blake3:', 400],
    ] as const) {
      for (const kind of ['manifests', 'blobs']) {
        const answer = await at.ask(`/v2/${repository}/${kind}/${digest}`)
        expect([kind, digest, answer.status]).toEqual([kind, digest, status])
        const unknown = kind === 'blobs' ? 'BLOB_UNKNOWN' : 'MANIFEST_UNKNOWN'
        expect(errorOf(answer).code).toBe(status === 404 ? unknown : 'DIGEST_INVALID')
      }
    }
    const referrers = await at.ask(`/v2/${repository}/referrers/${foreign}`)
    expect([referrers.status, JSON.parse(referrers.body.toString())]).toMatchObject([200, { manifests: [] }])
    expect(at.net.requests()).toEqual([])
  })
})
