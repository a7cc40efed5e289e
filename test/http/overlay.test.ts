/** Overlays: what was pushed here lies over what upstream has, object by object and in one list. */
import { describe, expect, test, vi } from 'vitest'
import { readContent } from '../fake/bytes.ts'
import { artifact, image } from '../fake/content.ts'
import { pushBundle } from './push-client.ts'
import { type Answered, asked, errorOf, hub, plain, type SceneSetting, scene } from './scene.ts'

const ours = image('ours', { layers: [300] })
const theirs = image('theirs', { layers: [400] })
const name = 'team/app'
const outage = { host: 'plain.test', kind: 'status', status: 502 } as const

async function world(setting: SceneSetting = {}) {
  const at = await scene({
    upstreams: net => [plain(net), hub(net, { isDefault: false })],
    local: [
      { name: 'team', match: 'team/**', overlay: true },
      { name: 'local', match: 'local/**' },
    ],
    ...setting,
  })
  return { ...at, to: { url: at.layover.url, name } }
}

const tagsOf = ({ body }: Answered) => (JSON.parse(body.toString()) as { tags: string[] }).tags

describe('an object', () => {
  test('pushed here shadows the one of upstream; what is not here comes from there', async () => {
    await using at = await world()
    at.net.plain.put(name, 'v1', theirs)
    at.net.plain.put(name, 'v2', theirs)
    await pushBundle(at.to, ours, 'v1')
    for (const [tag, bundle] of [
      ['v1', ours],
      ['v2', theirs],
    ] as const) {
      const answer = await at.ask(`/v2/${name}/manifests/${tag}`)
      expect([tag, answer.headers['docker-content-digest']]).toEqual([tag, bundle.digest])
      for (const { digest, content, size } of bundle.blobs) {
        const head = await at.ask(`/v2/${name}/blobs/${digest}`, { method: 'HEAD' })
        expect([head.status, head.headers['content-length']]).toEqual([200, String(size)])
        const blob = await at.ask(`/v2/${name}/blobs/${digest}`)
        expect(blob.body.equals(readContent(content))).toBe(true)
      }
    }
    const lines = () => at.layover.lines.filter(({ path }) => String(path).endsWith('/manifests/v2'))
    const line = expect.objectContaining({ upstream: 'plain.example', repository: name })
    await vi.waitFor(() => expect(lines()).toEqual([line]))
  })

  test('pushed here is served without upstream', async () => {
    await using at = await world()
    await pushBundle(at.to, ours, 'v1')
    at.net.fault(outage)
    for (const path of ['manifests/v1', `manifests/${ours.digest}`, `blobs/${ours.blobs[0]?.digest}`])
      expect((await at.ask(`/v2/${name}/${path}`)).status).toBe(200)
    expect(asked(at.net)).toEqual([])
  })

  test('that is nowhere is 404, and one that only upstream could have is 503 while that is away', async () => {
    await using at = await world()
    const path = `/v2/${name}/manifests/v3`
    const absent = await at.ask(path)
    expect([absent.status, errorOf(absent).code]).toEqual([404, 'MANIFEST_UNKNOWN'])
    at.net.fault(outage)
    expect((await at.ask(`/v2/${name}/manifests/v4`)).status).toBe(503)
    const blob = `/v2/${name}/blobs/${theirs.blobs[0]?.digest}`
    expect((await at.ask(blob, { method: 'HEAD' })).status).toBe(503)
  })

  test('deleted here shows that of upstream again', async () => {
    await using at = await world()
    at.net.plain.put(name, 'v1', theirs)
    await pushBundle(at.to, ours, 'v1')
    expect((await at.ask(`/v2/${name}/manifests/v1`, { method: 'DELETE' })).status).toBe(202)
    const answer = await at.ask(`/v2/${name}/manifests/v1`)
    expect(answer.headers['docker-content-digest']).toBe(theirs.digest)
  })
})

describe('tags', () => {
  const path = `/v2/${name}/tags/list`

  async function both(setting: SceneSetting = {}) {
    const at = await world(setting)
    for (const tag of ['a', 'c', 'e', 'g', 'i']) at.net.plain.put(name, tag, theirs)
    await pushBundle(at.to, ours, 'b', 'c', 'd', 'j')
    at.net.plain.habits.tagPage = 2
    return at
  }
  const union = ['a', 'b', 'c', 'd', 'e', 'g', 'i', 'j']

  test('are those of both, each once and in byte order', async () => {
    await using at = await both()
    const answer = await at.ask(path)
    expect(JSON.parse(answer.body.toString())).toEqual({ name, tags: union })
    expect(answer.headers.link).toBeUndefined()
  })

  test.each([1, 2, 3, 7, 8])('come in full pages of n=%i', async n => {
    await using at = await both()
    const found: string[] = []
    const sizes: number[] = []
    for (let next: string | undefined = `${path}?n=${n}`; next !== undefined; ) {
      const answer = await at.ask(next)
      sizes.push(tagsOf(answer).length)
      found.push(...tagsOf(answer))
      next = /^<([^>]+)>/.exec(answer.headers.link?.toString() ?? '')?.[1]
    }
    expect(found).toEqual(union)
    expect(sizes.slice(0, -1).every(size => size === n)).toBe(true)
    expect(sizes).toHaveLength(Math.ceil(union.length / n))
  })

  test("show a push at once, while upstream's list is kept", async () => {
    await using at = await both()
    await at.ask(path)
    at.net.clearRequests()
    await pushBundle(at.to, ours, 'k')
    expect(tagsOf(await at.ask(path))).toEqual([...union, 'k'])
    expect(asked(at.net)).toEqual([])
  })

  test('are ours alone where upstream has no such repository, which is asked about once', async () => {
    await using at = await world()
    await pushBundle(at.to, ours, 'v1')
    expect(tagsOf(await at.ask(path))).toEqual(['v1'])
    expect(tagsOf(await at.ask(path))).toEqual(['v1'])
    expect(asked(at.net)).toHaveLength(1)
  })

  test("are upstream's alone where nothing was pushed, and 404 where there is nothing", async () => {
    await using at = await world()
    at.net.plain.put(name, 'v1', theirs)
    expect(tagsOf(await at.ask(path))).toEqual(['v1'])
    const nothing = await at.ask('/v2/team/none/tags/list')
    expect([nothing.status, errorOf(nothing).code]).toEqual([404, 'NAME_UNKNOWN'])
  })

  test('are ours alone where the name is kept off the upstream', async () => {
    await using at = await world({
      upstreams: net => [plain(net, { options: { deny: ['team/**'] } }), hub(net, { isDefault: false })],
    })
    await pushBundle(at.to, ours, 'v1')
    expect(tagsOf(await at.ask(path))).toEqual(['v1'])
    expect(asked(at.net)).toEqual([])
  })

  test('are 503 in an outage rather than half of the list, and the last known list later', async () => {
    await using at = await both()
    const fault = at.net.fault({ ...outage, skip: 1 }) // breaks between two pages
    const nothing = await at.ask(path)
    expect([nothing.status, nothing.headers['retry-after']]).toEqual([503, expect.any(String)])
    await fault.off()
    at.clock.advance(60_000)
    expect(tagsOf(await at.ask(path))).toEqual(union)
    at.net.fault(outage)
    at.clock.advance(10 * 60_000)
    const stale = await at.ask(path)
    expect(tagsOf(stale)).toEqual(union)
    expect(stale.headers['cache-status']).toContain('fwd=stale')
    expect(stale.headers.warning).toMatch(/^299 - /)
  })

  test('that never end upstream are an error', async () => {
    await using at = await world()
    const body = { name, tags: ['v1'] }
    const headers = { link: `</v2/${name}/tags/list?last=v1>; rel="next"` }
    at.net.fault({ kind: 'status', status: 200, body, headers, path: /tags/ })
    expect((await at.ask(path)).status).toBe(503)
    expect(asked(at.net)).toHaveLength(2)
  })
})

describe('referrers', () => {
  const path = `/v2/${name}/referrers/${theirs.digest}`
  const sbom = artifact('sbom', { subject: theirs.root })
  const signature = artifact('sig', { subject: theirs.root, artifactType: 'application/vnd.example.sig' })
  const own = artifact('own', { subject: theirs.root, artifactType: 'application/vnd.example.sig' })

  async function signed() {
    const at = await world()
    at.net.plain.put(name, 'v1', theirs)
    for (const bundle of [sbom, signature]) at.net.plain.put(name, undefined, bundle)
    await pushBundle(at.to, own)
    await pushBundle(at.to, signature)
    return at
  }

  function digests({ body }: Answered): string[] {
    return (JSON.parse(body.toString()) as { manifests: { digest: string }[] }).manifests.map(
      ({ digest }) => digest,
    )
  }
  const sorted = (...bundles: { digest: string }[]) => bundles.map(({ digest }) => digest).sort()

  test('are those of both, each once', async () => {
    await using at = await signed()
    expect(digests(await at.ask(path))).toEqual(sorted(sbom, signature, own))
    const filtered = await at.ask(`${path}?artifactType=application/vnd.example.sig`)
    expect(digests(filtered)).toEqual(sorted(signature, own))
    expect(filtered.headers['oci-filters-applied']).toBe('artifactType')
    const first = await at.ask(`${path}?n=2`)
    const next = /^<([^>]+)>/.exec(first.headers.link?.toString() ?? '')?.[1] ?? ''
    expect([...digests(first), ...digests(await at.ask(next))]).toEqual(sorted(sbom, signature, own))
  })

  test('are 503 in an outage: half of them would hide signatures', async () => {
    await using at = await signed()
    const fault = at.net.fault(outage)
    expect((await at.ask(path)).status).toBe(503)
    await fault.off()
    at.clock.advance(60_000)
    await at.ask(path)
    at.net.fault(outage)
    at.clock.advance(10 * 60_000)
    const stale = await at.ask(path)
    expect(digests(stale)).toEqual(sorted(sbom, signature, own))
    expect(stale.headers['cache-status']).toContain('fwd=stale')
  })

  test('are ours alone where upstream has none', async () => {
    await using at = await world()
    await pushBundle(at.to, own)
    expect(digests(await at.ask(path))).toEqual(sorted(own))
  })
})

test('a local name that is no overlay is never asked for upstream', async () => {
  await using at = await world()
  at.net.plain.put('local/app', 'v1', theirs)
  await pushBundle({ url: at.layover.url, name: 'local/app' }, ours, 'v2')
  const paths = ['manifests/v1', `manifests/${theirs.digest}`, `blobs/${theirs.blobs[0]?.digest}`]
  for (const path of paths) expect((await at.ask(`/v2/local/app/${path}`)).status).toBe(404)
  expect(tagsOf(await at.ask('/v2/local/app/tags/list'))).toEqual(['v2'])
  await at.ask(`/v2/local/app/referrers/${theirs.digest}`)
  expect(asked(at.net)).toEqual([])
})
