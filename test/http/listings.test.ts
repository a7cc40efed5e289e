/** Tag lists and referrers: paged, filtered, rewritten to the client's form of address, and kept for an outage. */
import { describe, expect, test } from 'vitest'
import { Oras } from '../clients/oras.ts'
import { artifact, image, raw, single } from '../fake/content.ts'
import { type Answered, errorOf, hub, plain, type Scene, type SceneSetting, scene } from './scene.ts'

const app = image('app', { layers: [300] })

async function world(setting: SceneSetting = {}) {
  const at = await scene({ upstreams: net => [plain(net), hub(net, { isDefault: false })], ...setting })
  at.net.plain.put('app', 'v1', app)
  return at
}

describe('tags/list', () => {
  const tags = Array.from({ length: 11 }, (_, at) => `v${String(at).padStart(2, '0')}`)

  async function tagged(setting: SceneSetting = {}) {
    const at = await world(setting)
    for (const tag of tags) at.net.hub.put('library/alpine', tag, app)
    at.net.hub.habits.tagPage = 3
    return at
  }

  async function walk(at: Scene, start: string) {
    const found: string[] = []
    const links: string[] = []
    for (let next: string | undefined = start; next !== undefined; ) {
      const answer: Answered = await at.ask(next)
      expect(answer.status).toBe(200)
      found.push(...(JSON.parse(answer.body.toString()) as { tags: string[] }).tags)
      next = /^<([^>]+)>; rel="next"$/.exec(answer.headers.link?.toString() ?? '')?.[1]
      if (next !== undefined) links.push(next)
    }
    return { found, links }
  }

  const bases = [
    ['/v2/library/alpine/tags/list', 'ns=docker.io'],
    ['/v2/library/alpine/tags/list', 'ns=registry-1.docker.io'],
    ['/v2/docker.io/library/alpine/tags/list', 'ns=docker.io'],
    ['/v2/docker.io/alpine/tags/list', ''],
    ['/docker.io/v2/alpine/tags/list', ''],
    ['/docker.io/library/alpine/tags/list', ''],
  ] as const

  test.each(bases)('%s?%s is walked to its end by links of the same form', async (base, query) => {
    await using at = await tagged()
    for (const links of ['relative', 'absolute'] as const) {
      at.net.hub.habits.tagLinks = links
      const { found, links: seen } = await walk(at, `${base}?${query}`)
      expect(found).toEqual(tags)
      expect(seen).toHaveLength(3)
      for (const link of seen) {
        expect(link.startsWith(`${base}?`)).toBe(true)
        expect(new URLSearchParams(link.split('?')[1]).get('ns')).toBe(new URLSearchParams(query).get('ns'))
      }
    }
    const upstreamQueries = at.net.requests({ path: /tags\/list/ }).map(({ query: sent }) => [...sent.keys()])
    expect(upstreamQueries.flat()).not.toContain('ns')
  })

  test('oras and Helm read them all, with a page size of their own too', async () => {
    await using at = await tagged()
    expect(await new Oras({ url: at.layover.url }).tags('docker.io/alpine')).toEqual(tags)
    expect(await new Oras({ url: `${at.layover.url}/docker.io` }).tags('library/alpine', 2)).toEqual(tags)
  })

  test('links begin with the path of publicUrl, which the proxy in front takes off', async () => {
    await using at = await tagged({ publicUrl: 'https://corp.example/mirror' })
    const { headers } = await at.ask('/v2/docker.io/alpine/tags/list')
    expect(headers.link).toMatch(/^<\/mirror\/v2\/docker\.io\/alpine\/tags\/list\?/)
  })

  test('n and last are passed on, n=0 ends at once, and nonsense is refused', async () => {
    await using at = await tagged()
    const page = await at.ask('/v2/docker.io/alpine/tags/list?n=2&last=v04&unknown=1')
    expect(JSON.parse(page.body.toString())).toEqual({ name: 'library/alpine', tags: ['v05', 'v06'] })
    const [{ query } = { query: new URLSearchParams() }] = at.net.requests({ path: /tags/ }).slice(-1)
    expect([...query.keys()].sort()).toEqual(['last', 'n'])
    const none = await at.ask('/v2/docker.io/alpine/tags/list?n=0')
    expect([none.status, none.headers.link]).toEqual([200, undefined])
    expect(JSON.parse(none.body.toString())).toMatchObject({ tags: [] })
    const many = await at.ask('/v2/docker.io/alpine/tags/list?n=9999999999999')
    expect(many.status).toBe(200)
    for (const n of ['-1', 'x', '1.5', '']) {
      const answer = await at.ask(`/v2/docker.io/alpine/tags/list?n=${n}`)
      expect([n, answer.status]).toEqual([n, 400])
      errorOf(answer)
    }
  })

  test('n=0 ends at once, also where upstream does not care for n', async () => {
    await using at = await world()
    const body = { name: 'app', tags: ['v1', 'v2'] }
    const headers = { link: '</v2/app/tags/list?last=v2>; rel="next"' }
    at.net.fault({ kind: 'status', status: 200, body, headers, path: /tags/ })
    const none = await at.ask('/v2/app/tags/list?n=0')
    expect([none.status, none.headers.link]).toEqual([200, undefined])
    expect(JSON.parse(none.body.toString())).toEqual({ name: 'app', tags: [] })
  })

  test('a page is kept for a while', async () => {
    await using at = await tagged()
    await at.ask('/v2/docker.io/alpine/tags/list')
    at.net.clearRequests()
    const again = await at.ask('/v2/docker.io/alpine/tags/list')
    expect(again.headers['cache-status']).toBe('layover; hit')
    expect(at.net.requests()).toEqual([])
  })

  test('null and nothing at all are understood as no tags', async () => {
    await using at = await world()
    at.net.fault({
      host: 'plain.test',
      path: /tags/,
      kind: 'status',
      status: 200,
      body: { name: 'app', tags: null },
    })
    const answer = await at.ask('/v2/app/tags/list')
    expect(JSON.parse(answer.body.toString())).toEqual({ name: 'app', tags: [] })
  })
})

describe('referrers', () => {
  const sboms = ['a', 'b', 'c'].map(seed => artifact(seed, { subject: app.root }))
  const signature = artifact('sig', { subject: app.root, artifactType: 'application/vnd.example.sig' })
  const all = [...sboms, signature]
  const path = `/v2/app/referrers/${app.digest}`

  async function signed(setting: SceneSetting = {}) {
    const at = await world(setting)
    for (const bundle of all) at.net.plain.put('app', undefined, bundle)
    return at
  }

  function digests({ body }: Answered): string[] {
    const index = JSON.parse(body.toString()) as { schemaVersion: number; manifests: { digest: string }[] }
    expect(index).toMatchObject({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json' })
    return index.manifests.map(({ digest }) => digest).sort()
  }

  const digestsOf = (bundles: readonly { digest: string }[]) => bundles.map(({ digest }) => digest).sort()

  test("every page of the upstream's API makes one answer", async () => {
    await using at = await signed()
    at.net.plain.habits.referrersPage = 1
    const answer = await at.ask(path)
    expect(answer.status).toBe(200)
    expect(answer.headers['content-type']).toBe('application/vnd.oci.image.index.v1+json')
    expect(answer.headers['oci-filters-applied']).toBeUndefined()
    expect(digests(answer)).toEqual(digestsOf(all))
    const found = await new Oras({ url: at.layover.url }).referrers('app', app.digest)
    expect(found).toHaveLength(4)
    const annotations = { 'org.opencontainers.image.title': 'a' }
    expect(found).toContainEqual(
      expect.objectContaining({ artifactType: 'application/spdx+json', annotations }),
    )
  })

  test.each([
    ['application%2Fspdx%2Bjson', sboms],
    ['application/spdx+json', sboms],
    ['application/vnd.example.sig', [signature]],
    ['application/vnd.example.sig&artifactType=application/spdx%2Bjson', all],
    ['nothing/of-this', []],
  ])('are filtered by artifactType=%s, whether upstream filters or not', async (filter, expected) => {
    for (const referrersFilter of [true, false]) {
      await using at = await signed()
      at.net.plain.habits.referrersFilter = referrersFilter
      const answer = await at.ask(`${path}?artifactType=${filter}`)
      expect(digests(answer)).toEqual(digestsOf(expected))
      expect(answer.headers['oci-filters-applied']).toBe('artifactType')
    }
  })

  test('an upstream without the API is asked for the fallback tag', async () => {
    await using at = await world()
    at.net.hub.put('library/alpine', 'v1', app)
    const fallback = { schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json' }
    const descriptors = all.map(({ root }) => ({
      mediaType: root.mediaType,
      digest: root.digest,
      size: root.body.length,
    }))
    const body = JSON.stringify({ ...fallback, manifests: descriptors })
    at.net.hub.put('library/alpine', app.digest.replace(':', '-'), single(raw(body, fallback.mediaType)))
    const answer = await at.ask(`/v2/docker.io/alpine/referrers/${app.digest}`)
    expect(digests(answer)).toEqual(digestsOf(all))
  })

  test('none is an empty index, and so is an unknown subject', async () => {
    await using at = await world()
    at.net.hub.put('library/alpine', 'v1', app)
    const unknown = `sha256:${'0'.repeat(64)}`
    for (const subject of [app.digest, unknown]) {
      for (const name of ['app', 'docker.io/alpine', 'docker.io/no/such', 'local/app']) {
        const answer = await at.ask(`/v2/${name}/referrers/${subject}`)
        expect([name, answer.status]).toEqual([name, 200])
        expect(digests(answer)).toEqual([])
      }
    }
  })

  test('an outage is no empty list: 503 at first, the last known list later', async () => {
    await using at = await signed()
    const fault = at.net.fault({ host: 'plain.test', kind: 'status', status: 502 })
    const nothing = await at.ask(path)
    expect(nothing.status).toBe(503)
    expect(errorOf(nothing)).toMatchObject({ message: expect.stringContaining('502') })
    await fault.off()
    await at.ask(path)
    at.net.fault({ host: 'plain.test', kind: 'status', status: 502 })
    at.clock.advance(10 * 60_000)
    const stale = await at.ask(path)
    expect(digests(stale)).toEqual(digestsOf(all))
    expect(stale.headers['cache-status']).toContain('fwd=stale')
    expect(stale.headers.warning).toMatch(/^299 - ".*502.*"$/)
  })
})
