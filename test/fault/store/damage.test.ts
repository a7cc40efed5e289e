/** Files of the store that are gone or of the wrong size: fetched again where upstream has them, else an error that says what to do. */
import { appendFile, rm, truncate } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { Layout } from '../../../src/store/layout.ts'
import { seededBlob } from '../../fake/bytes.ts'
import { artifactOf } from '../../fake/content.ts'
import { pushBlob, pushBundle } from '../../http/push-client.ts'
import { errorOf, plain, scene } from '../../http/scene.ts'
import { workersOfSuite } from '../../support/servers.ts'
import { download, expectHonest, expectWhole, openDownload } from '../download.ts'
import { miB } from '../scene.ts'

const damages = {
  gone: (path: string) => rm(path),
  empty: (path: string) => truncate(path, 0),
  'too short': (path: string) => truncate(path, 100),
  'too long': (path: string) => appendFile(path, 'more'),
}

const large = seededBlob('large', 24 * miB)
const layer = seededBlob('layer', 100_000)
const bundle = artifactOf([layer])

async function world() {
  const at = await scene({ upstreams: net => [plain(net)], realTime: true })
  at.net.plain.put('app', 'v1', bundle)
  at.net.plain.putBlob('app', large)
  return {
    ...at,
    layout: new Layout(at.layover.storePath),
    url: (path: string) => `${at.layover.url}/v2/${path}`,
  }
}

const manifest = `app/manifests/${bundle.digest}`
const blob = `app/blobs/${layer.digest}`

describe.each(Object.entries(damages))('a file that is %s', (how, damage) => {
  test('among what is cached is fetched again, once, and kept', async () => {
    await using at = await world()
    await at.warm(...[manifest, 'app/manifests/v1', blob].map(path => `/v2/${path}`))
    await at.layover.restart() // nothing is in memory
    for (const { digest } of [layer, bundle]) await damage(at.layout.cached(digest))
    for (const path of ['app/manifests/v1', manifest]) {
      const { status, body } = await at.ask(`/v2/${path}`)
      expect([status, body.equals(bundle.root.body)]).toEqual([200, true])
    }
    for (const found of await Promise.all([download(at.url(blob)), download(at.url(blob))]))
      expectWhole(found, layer)
    const gets = () => at.net.requests({ method: 'GET', path: /blobs|manifests/ })
    expect(gets()).toHaveLength(2)
    await at.warm(...[manifest, blob].map(path => `/v2/${path}`))
    expectWhole(await download(at.url(blob)), layer)
    expect(gets()).toEqual([])
  })

  test('among what is cached is an error while upstream is away', async () => {
    await using at = await world()
    await at.warm(...[manifest, blob].map(path => `/v2/${path}`))
    await at.layover.restart()
    for (const { digest } of [layer, bundle]) await damage(at.layout.cached(digest))
    at.net.fault({ kind: 'refuse', host: 'plain.test' })
    for (const path of ['app/manifests/v1', manifest, blob]) {
      const answer = await at.ask(`/v2/${path}`)
      expect([path, answer.status, Number(answer.headers['retry-after']) > 0]).toEqual([path, 503, true])
    }
  })

  test('among what was pushed is an error that says what to do, until it was done', async () => {
    await using at = await world()
    const to = { url: at.layover.url, name: 'local/app' }
    await pushBundle(to, bundle, 'v1')
    await at.layover.restart()
    for (const { digest } of [layer, bundle]) await damage(at.layout.pushed(digest))
    for (const path of ['manifests/v1', `manifests/${bundle.digest}`, `blobs/${layer.digest}`]) {
      const answer = await at.ask(`/v2/local/app/${path}`)
      expect([how, path, answer.status]).toEqual([how, path, 500])
      expect(errorOf(answer).message).toMatch(/missing or damaged here: push them again/)
    }
    const head = await at.ask(`/v2/local/app/blobs/${layer.digest}`, { method: 'HEAD' })
    expect(head.status).toBe(404)
    await pushBundle({ ...to, url: at.layover.url }, bundle, 'v1')
    expectWhole(await download(at.url(`local/app/blobs/${layer.digest}`)), layer)
    const { body } = await at.ask('/v2/local/app/manifests/v1')
    expect(body.equals(bundle.root.body)).toBe(true)
  })
})

describe('a file that is cut while it is given', () => {
  async function cutWhileGiven(area: 'cached' | 'pushed', path: string) {
    const at = await world()
    if (area === 'pushed') await pushBlob({ url: at.layover.url, name: 'local/app' }, large)
    else await at.warm(`/v2/${path}`)
    const reader = await openDownload(at.url(path))
    await reader.take(miB)
    await truncate(at.layout[area](large.digest), 12 * miB)
    const found = await reader.finish()
    return { at, found, again: () => download(at.url(path)) }
  }

  test('is fetched again for who reads it, and for the next one', async () => {
    const { at, found, again } = await cutWhileGiven('cached', `app/blobs/${large.digest}`)
    await using _ = at
    const outcome = expectHonest(found, large)
    if (workersOfSuite === 1) expect(outcome).toBe('whole') // a server beside the primary cuts its client off
    expectWhole(await again(), large)
    expect(at.net.requests({ method: 'GET', path: /blobs/ })).toHaveLength(1)
  })

  test('breaks off where nobody else has it, and says so to the next one', async () => {
    const { at, found, again } = await cutWhileGiven('pushed', `local/app/blobs/${large.digest}`)
    await using _ = at
    expect(expectHonest(found, large)).toBe('broken')
    expect((await again()).status).toBe(500)
  })
})
