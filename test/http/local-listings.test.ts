/** Tags and referrers of local repositories: in order, complete, in pages of just the size that was asked for. */
import { describe, expect, test } from 'vitest'
import { mediaTypes } from '../../src/oci/media-type.ts'
import { artifact, type Bundle, image, raw, single } from '../fake/content.ts'
import { pushBlob, pushBundle, pushManifest } from './push-client.ts'
import { type Answered, errorOf, type Scene, type SceneSetting, scene } from './scene.ts'

const app = image('app', { layers: [300] })
const name = 'local/app'

async function world(setting: SceneSetting = {}) {
  const at = await scene(setting)
  return { ...at, to: { url: at.layover.url, name } }
}

function linkOf({ headers }: Answered): string | undefined {
  return /^<([^>]+)>; rel="next"$/.exec(headers.link?.toString() ?? '')?.[1]
}

async function walk<T>(at: Scene, start: string, read: (answer: Answered) => T[]): Promise<T[][]> {
  const pages: T[][] = []
  for (let next: string | undefined = start; next !== undefined && pages.length < 100; ) {
    const answer: Answered = await at.ask(next)
    expect([next, answer.status]).toEqual([next, 200])
    pages.push(read(answer))
    next = linkOf(answer)
  }
  return pages
}

describe('tags/list', () => {
  const path = `/v2/${name}/tags/list`
  const tags = ['1.0', '1.0-rc1', '1.0.1', '10', 'A', 'TEST0', 'Z', '_x', 'a', 'latest', 'test0']

  async function tagged(setting: SceneSetting = {}) {
    const at = await world(setting)
    await pushBundle(at.to, app)
    const [first = '', ...rest] = tags.toReversed()
    for (const some of [first, rest.join('&tag=')])
      expect((await pushManifest(at.to, app.root, `${app.digest}?tag=${some}`)).status).toBe(201)
    return at
  }

  const read = ({ body }: Answered) => (JSON.parse(body.toString()) as { tags: string[] }).tags

  test('gives all in byte order', async () => {
    await using at = await tagged()
    const answer = await at.ask(path)
    expect(JSON.parse(answer.body.toString())).toEqual({ name, tags: [...tags].sort() })
    expect([answer.headers['content-type'], answer.headers.link]).toEqual(['application/json', undefined])
  })

  test.each([1, 2, 3, 5, 10])('with n=%i gives just as many, and a link until there are no more', async n => {
    await using at = await tagged()
    const pages = await walk(at, `${path}?n=${n}`, read)
    expect(pages.flat()).toEqual(tags)
    expect(pages.slice(0, -1).every(page => page.length === n)).toBe(true)
    expect(pages).toHaveLength(Math.ceil(tags.length / n))
  })

  test('begins after last, which need not exist', async () => {
    await using at = await tagged()
    expect(read(await at.ask(`${path}?last=Z`))).toEqual(['_x', 'a', 'latest', 'test0'])
    expect(read(await at.ask(`${path}?last=b&n=1`))).toEqual(['latest'])
    expect(read(await at.ask(`${path}?last=zzz`))).toEqual([])
    expect(read(await at.ask(`${path}?last=%C3%A9`))).toEqual([])
    expect(read(await at.ask(`${path}?last=`))).toEqual(tags)
  })

  test('with n=0 is empty, and has no link', async () => {
    await using at = await tagged()
    const answer = await at.ask(`${path}?n=0`)
    expect([read(answer), answer.headers.link]).toEqual([[], undefined])
  })

  test('gives no more than limits.page, however many were asked for, and links to the rest', async () => {
    await using at = await tagged({ limits: { page: 4 } })
    for (const query of ['', '?n=5', '?n=99999999999999999999']) {
      const pages = await walk(at, path + query, read)
      expect(pages.map(page => page.length)).toEqual([4, 4, 3])
      expect(pages.flat()).toEqual(tags)
    }
  })

  test.each(['-1', 'x', '1.5', ''])('refuses n=%s', async n => {
    await using at = await tagged()
    const answer = await at.ask(`${path}?n=${n}`)
    expect([answer.status, errorOf(answer).code]).toEqual([400, 'UNSUPPORTED'])
  })

  test('of a repository that holds nothing is 404, of one without tags an empty list', async () => {
    await using at = await world()
    const nothing = await at.ask(path)
    expect([nothing.status, errorOf(nothing).code]).toEqual([404, 'NAME_UNKNOWN'])
    const [blob = Buffer.alloc(0)] = app.blobs
    await pushBlob(at.to, blob)
    expect(JSON.parse((await at.ask(path)).body.toString())).toEqual({ name, tags: [] })
    await pushBundle(at.to, app)
    expect(JSON.parse((await at.ask(path)).body.toString())).toEqual({ name, tags: [] })
  })

  test('no longer has what was deleted, and has the rest', async () => {
    await using at = await tagged()
    await at.ask(`/v2/${name}/manifests/latest`, { method: 'DELETE' })
    expect(read(await at.ask(path))).toEqual(tags.filter(tag => tag !== 'latest'))
  })

  test('links in the form of the request', async () => {
    await using at = await tagged()
    const direct = await at.ask(`${path}?n=1&ns=docker.io`)
    expect(linkOf(direct)).toBe(`${path}?n=1&last=1.0&ns=docker.io`)
    const prefixed = await at.ask(`/docker.io${path}?n=1`)
    expect(linkOf(prefixed)).toBe(`/docker.io${path}?n=1&last=1.0`)
  })
})

describe('referrers', () => {
  const sboms = ['a', 'b', 'c', 'd', 'e'].map(seed => artifact(seed, { subject: app.root }))
  const signatures = ['f', 'g'].map(seed =>
    artifact(seed, { subject: app.root, artifactType: 'application/vnd.example.sig' }),
  )
  const all = [...sboms, ...signatures]
  const path = `/v2/${name}/referrers/${app.digest}`

  async function signed(setting: SceneSetting = {}) {
    const at = await world(setting)
    await pushBundle(at.to, app)
    for (const bundle of all) await pushBundle(at.to, bundle)
    return at
  }

  interface Entry {
    digest: string
    annotations?: object
  }

  function read({ headers, body }: Answered): Entry[] {
    expect(headers['content-type']).toBe(mediaTypes.ociIndex)
    const index = JSON.parse(body.toString()) as { manifests: Entry[] }
    expect(index).toMatchObject({ schemaVersion: 2, mediaType: mediaTypes.ociIndex })
    return index.manifests
  }

  const digestsOf = (bundles: readonly { digest: string }[]) => bundles.map(({ digest }) => digest).sort()

  test('are descriptors with artifact type and annotations, and nothing else', async () => {
    await using at = await signed()
    const answer = await at.ask(path)
    const found = read(answer)
    expect(answer.headers['oci-filters-applied']).toBeUndefined()
    expect(found.map(({ digest }) => digest)).toEqual(digestsOf(all))
    const [sbom] = sboms
    expect(found.find(({ digest }) => digest === sbom?.digest)).toEqual({
      mediaType: mediaTypes.ociManifest,
      digest: sbom?.digest,
      size: sbom?.root.body.length,
      artifactType: 'application/spdx+json',
      annotations: { 'org.opencontainers.image.title': 'a' },
    })
  })

  test.each<[string, readonly Bundle[]]>([
    ['application%2Fspdx%2Bjson', sboms],
    ['application/spdx+json', sboms],
    ['application/vnd.example.sig', signatures],
    ['application/vnd.example.sig&artifactType=application/spdx%2Bjson', all],
    ['nothing/of-this', []],
  ])('are filtered by artifactType=%s, which the answer says', async (filter, expected) => {
    await using at = await signed()
    const answer = await at.ask(`${path}?artifactType=${filter}`)
    expect(digestsOf(read(answer))).toEqual(digestsOf(expected))
    expect(answer.headers['oci-filters-applied']).toBe('artifactType')
  })

  test.each([1, 2, 3, 6])('with n=%i come in full pages, filtered or not', async n => {
    await using at = await signed()
    for (const [query, expected] of [
      ['', all],
      ['&artifactType=application/vnd.example.sig', signatures],
    ] as const) {
      const pages = await walk(at, `${path}?n=${n}${query}`, read)
      expect(pages.flat().map(({ digest }) => digest)).toEqual(digestsOf(expected))
      expect(pages.slice(0, -1).every(page => page.length === n)).toBe(true)
      expect(pages).toHaveLength(Math.ceil(expected.length / n))
    }
    expect(read(await at.ask(`${path}?n=0`))).toEqual([])
  })

  test('that a filter passes over are looked through in bounded pieces, and none is missed', async () => {
    await using at = await signed({ limits: { page: 1 } })
    const others = Array.from({ length: 25 }, (_, seed) =>
      artifact(`other ${seed}`, { subject: app.root, artifactType: 'application/vnd.example.other' }),
    )
    for (const other of others) await pushManifest(at.to, other.root)
    const query = 'artifactType=application/vnd.example.sig'
    const pages = await walk(at, `${path}?${query}`, read)
    expect(pages.flat().map(({ digest }) => digest)).toEqual(digestsOf(signatures))
    const links = await walk(at, `${path}?${query}`, ({ headers }) => [headers['oci-filters-applied']])
    expect(new Set(links.flat())).toEqual(new Set(['artifactType']))
  })

  test('come in pages below 4 MiB', async () => {
    await using at = await world()
    await pushBundle(at.to, app)
    const large = Array.from({ length: 5 }, (_, seed) => {
      const annotations = { seed: String(seed), padding: 'é'.repeat(600_000) }
      const subject = { mediaType: app.root.mediaType, digest: app.digest, size: app.root.body.length }
      const fields = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [], subject, annotations }
      return single(raw(JSON.stringify(fields), mediaTypes.ociIndex))
    })
    for (const { root } of large) expect((await pushManifest(at.to, root)).status).toBe(201)
    const sizes: number[] = []
    const pages = await walk(at, path, answer => {
      sizes.push(answer.body.length)
      return read(answer)
    })
    expect(pages.flat().map(({ digest }) => digest)).toEqual(digestsOf(large))
    expect(Math.max(...sizes)).toBeLessThan(4 * 1024 * 1024)
    expect(pages).toHaveLength(2)
  })

  test('of a subject that is not here are listed, and none is an empty index', async () => {
    await using at = await world()
    for (const sbom of sboms) await pushBundle(at.to, sbom)
    expect(digestsOf(read(await at.ask(path)))).toEqual(digestsOf(sboms))
    for (const empty of [`local/none/referrers/${app.digest}`, `${name}/referrers/sha256:${'0'.repeat(64)}`])
      expect(read(await at.ask(`/v2/${empty}`))).toEqual([])
    const bad = await at.ask(`/v2/${name}/referrers/sha256:bad`)
    expect([bad.status, errorOf(bad).code]).toEqual([400, 'DIGEST_INVALID'])
    const cursor = await at.ask(`${path}?last=nonsense`)
    expect([cursor.status, errorOf(cursor).code]).toEqual([400, 'UNSUPPORTED'])
  })

  test('go with their manifest, and stay without their subject', async () => {
    await using at = await signed()
    const [sbom, ...rest] = all
    await at.ask(`/v2/${name}/manifests/${sbom?.digest}`, { method: 'DELETE' })
    expect(digestsOf(read(await at.ask(path)))).toEqual(digestsOf(rest))
    await at.ask(`/v2/${name}/manifests/${app.digest}`, { method: 'DELETE' })
    expect(digestsOf(read(await at.ask(path)))).toEqual(digestsOf(rest))
  })

  test('are those that really have the subject, whatever a fallback tag lists', async () => {
    await using at = await signed()
    const stranger = artifact('stranger')
    await pushBundle(at.to, stranger)
    const manifests = [...sboms, stranger].map(({ root: { mediaType, digest, body } }) => ({
      mediaType,
      digest,
      size: body.length,
    }))
    const index = JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests })
    await pushBundle(at.to, single(raw(index, mediaTypes.ociIndex)), app.digest.replace(':', '-'))
    expect(digestsOf(read(await at.ask(path)))).toEqual(digestsOf(all))
  })
})
