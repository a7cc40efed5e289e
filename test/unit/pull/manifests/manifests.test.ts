/** Pulling manifests: by tag as fresh as the policy wants it, stale when upstream fails, and each asked for once. */
import { rm, writeFile } from 'node:fs/promises'
import { describe, expect, test, vi } from 'vitest'
import { digestOf } from '../../../../src/oci/digest.ts'
import { parseReference } from '../../../../src/oci/reference.ts'
import { Manifests } from '../../../../src/pull/manifests/manifests.ts'
import type { UpstreamFailure } from '../../../../src/upstream/upstream-error.ts'
import { FakeClock } from '../../../fake/clock.ts'
import { FakeUpstream, minute, type TargetOptions, targetOf } from '../fake-upstream.ts'
import { openRig } from '../flight-rig.ts'

async function openManifests({ policy = {} }: TargetOptions = {}) {
  const clock = new FakeClock()
  const rig = await openRig({ clock })
  const upstream = new FakeUpstream()
  const target = targetOf(upstream, { policy })
  const manifests = new Manifests(rig.deps)
  return {
    clock,
    rig,
    upstream,
    manifests,
    get: (reference: string, at = target) => manifests.get(at, parseReference(reference), { head: false }),
    head: (reference: string) => manifests.get(target, parseReference(reference), { head: true }),
    /** What was asked since the last time. */
    asked: () => upstream.asked.splice(0),
    settled: () => rig.deps.background.settled(),
    [Symbol.asyncDispose]: () => rig[Symbol.asyncDispose](),
  }
}

describe('a tag', () => {
  test('asked a thousand times within its freshness costs one request', async () => {
    await using at = await openManifests()
    const { body, digest } = at.upstream.holdManifest('latest', {})
    for (let times = 0; times < 1_000; times += 1) {
      const found = await at.get('latest')
      expect(found).toMatchObject({ digest, size: body.length })
      expect(found.body).toEqual(body)
    }
    expect((await at.head('latest')).body).toBeUndefined()
    expect(at.asked()).toEqual(['GET latest'])
  })

  test('asked by fifty at once costs one request', async () => {
    await using at = await openManifests()
    at.upstream.holdManifest('latest', {})
    const answers = await Promise.all(Array.from({ length: 50 }, () => at.get('latest')))
    expect(answers.filter(({ provenance }) => provenance.outcome === 'miss')).toHaveLength(1)
    expect(at.asked()).toEqual(['GET latest'])
  })

  test('that did not move is confirmed by one HEAD for all, and fresh again', async () => {
    await using at = await openManifests()
    at.upstream.holdManifest('latest', {})
    await at.get('latest')
    at.clock.advance(5 * minute)
    at.asked()
    const answers = await Promise.all(Array.from({ length: 20 }, () => at.get('latest')))
    expect(new Set(answers.map(({ provenance }) => provenance.outcome))).toEqual(new Set(['revalidated']))
    expect(answers[0]?.provenance.ageMs).toBe(0)
    at.clock.advance(4 * minute)
    expect((await at.get('latest')).provenance).toMatchObject({ outcome: 'hit', ageMs: 4 * minute })
    expect(at.asked()).toEqual(['HEAD latest'])
  })

  test('that moved is fetched by its new digest', async () => {
    await using at = await openManifests()
    at.upstream.holdManifest('latest', {})
    await at.get('latest')
    at.clock.advance(5 * minute)
    at.asked()
    const { digest, body } = at.upstream.holdManifest('latest', { new: true })
    const found = await at.get('latest')
    expect(found.body).toEqual(body)
    expect(at.asked()).toEqual(['HEAD latest', `GET ${digest}`])
    expect((await at.get('latest')).digest).toBe(digest)
    expect(at.asked()).toEqual([])
  })

  test('is fetched whole where HEAD names no digest', async () => {
    await using at = await openManifests()
    at.upstream.headsAreBare = true
    at.upstream.holdManifest('latest', {})
    expect((await at.head('latest')).body).toBeUndefined()
    const { body } = at.upstream.holdManifest('latest', { new: true })
    at.clock.advance(5 * minute)
    expect((await at.get('latest')).body).toEqual(body)
  })

  test('asked by HEAD while cold costs a HEAD, and its body is fetched by digest when it is wanted', async () => {
    await using at = await openManifests()
    const { digest, body } = at.upstream.holdManifest('latest', {})
    expect(await at.head('latest')).toMatchObject({ digest, size: body.length, body: undefined })
    await at.head('latest')
    expect(at.asked()).toEqual(['HEAD latest'])
    expect((await at.get('latest')).body).toEqual(body)
    expect(at.asked()).toEqual([`GET ${digest}`])
  })

  test('is remembered over a restart, with its age', async () => {
    await using at = await openManifests()
    const { body } = at.upstream.holdManifest('latest', {})
    await at.get('latest')
    await at.settled()
    await using again = await at.rig.restart()
    at.asked()
    const manifests = new Manifests(again.deps)
    const reference = parseReference('latest')
    const found = await manifests.get(targetOf(at.upstream), reference, { head: false })
    expect(found.body).toEqual(body)
    at.clock.advance(5 * minute)
    await manifests.get(targetOf(at.upstream), reference, { head: false })
    expect(at.asked()).toEqual(['HEAD latest'])
  })

  test('that upstream does not have is asked once in a while', async () => {
    await using at = await openManifests({ policy: { notFoundForMs: 10_000 } })
    for (let times = 0; times < 3; times += 1) {
      await expect(at.get('gone')).rejects.toMatchObject({ status: 404 })
    }
    expect(at.asked()).toHaveLength(1)
    at.clock.advance(10_000)
    at.upstream.holdManifest('gone', {})
    await at.get('gone')
  })
})

describe('a digest', () => {
  test('is asked for once and for ever', async () => {
    await using at = await openManifests()
    const { digest, body } = at.upstream.holdManifest('latest', {})
    await at.get(digest)
    at.clock.advance(1_000_000 * minute)
    at.upstream.failure = 'unreachable'
    expect((await at.get(digest)).body).toEqual(body)
    expect((await at.head(digest)).size).toBe(body.length)
    expect(at.asked()).toEqual([`GET ${digest}`])
  })

  test('that is here for another repository is confirmed there first', async () => {
    await using at = await openManifests()
    const { digest } = at.upstream.holdManifest('latest', {})
    await at.get(digest)
    await at.settled()
    at.asked()
    const other = targetOf(at.upstream, { repository: 'other/app' })
    at.upstream.failure = 'denied'
    await expect(at.get(digest, other)).rejects.toMatchObject({ status: 403 })
    at.upstream.failure = undefined
    expect((await at.get(digest, other)).provenance.outcome).toBe('revalidated')
    await at.settled()
    expect((await at.get(digest, other)).provenance.outcome).toBe('hit')
    expect(at.asked()).toEqual([`HEAD ${digest}`, `HEAD ${digest}`])
  })

  test.each(['cut short', 'gone'])('whose file is %s is fetched again', async how => {
    await using at = await openManifests()
    const { digest, body } = at.upstream.holdManifest('latest', {})
    await at.get(digest)
    await at.settled()
    const file = at.rig.deps.store.layout.cached(digest)
    await (how === 'gone' ? rm(file) : writeFile(file, body.subarray(1)))
    expect((await at.get(digest)).body).toEqual(body)
    await at.settled()
    expect(await at.rig.deps.store.read(digest)).toEqual(body)
  })

  test('of a stored layer is not read into memory to find out that it is no manifest', async () => {
    await using at = await openManifests()
    const layer = Buffer.alloc(5 * 1024 * 1024)
    const digest = digestOf(layer)
    await at.rig.deps.store.put(digest, layer)
    const read = vi.spyOn(at.rig.deps.store, 'read')
    await expect(at.get(digest)).rejects.toMatchObject({ failure: 'not-found' })
    expect(read).not.toHaveBeenCalled()
  })
})

describe('while upstream fails', () => {
  test.each<UpstreamFailure>([
    'denied',
    'credential-refused',
    'rate-limited',
    'unreachable',
    'server-error',
    'timeout',
    'corrupt',
    'resting',
    'not-found',
    'hidden',
  ])('(%s) a cached tag is served stale, saying why and how old', async failure => {
    await using at = await openManifests({ policy: { notFoundForMs: 0 } })
    const { body } = at.upstream.holdManifest('latest', {})
    await at.get('latest')
    at.clock.advance(6 * minute)
    at.upstream.failure = failure
    const found = await at.get('latest')
    expect(found.body).toEqual(body)
    expect(found.provenance).toMatchObject({
      outcome: 'stale',
      detail: `registry.test: ${failure}`,
      ageMs: 6 * minute,
    })
    expect((await at.head('latest')).provenance.outcome).toBe('stale')
    at.upstream.failure = undefined
    expect((await at.get('latest')).provenance.outcome).toBe('revalidated')
  })

  test('a tag older than maxStale is refused', async () => {
    await using at = await openManifests({ policy: { maxStaleMs: 10 * minute } })
    at.upstream.holdManifest('latest', {})
    await at.get('latest')
    at.upstream.failure = 'server-error'
    at.clock.advance(10 * minute)
    expect((await at.get('latest')).provenance.outcome).toBe('stale')
    at.clock.advance(1)
    await expect(at.get('latest')).rejects.toMatchObject({ status: 503 })
  })

  test('a tag that upstream no longer has is served for a while, then dropped for good', async () => {
    await using at = await openManifests({
      policy: { onNotFound: { serveForMs: 60 * minute }, notFoundForMs: 0 },
    })
    at.upstream.holdManifest('latest', {})
    await at.get('latest')
    at.upstream.manifests.delete('latest')
    at.clock.advance(5 * minute)
    expect((await at.get('latest')).provenance.outcome).toBe('stale')
    at.clock.advance(59 * minute)
    expect((await at.get('latest')).provenance.outcome).toBe('stale')
    at.clock.advance(minute)
    await expect(at.get('latest')).rejects.toMatchObject({ status: 404 })
    at.upstream.failure = 'unreachable'
    await expect(at.get('latest')).rejects.toMatchObject({ status: 503 })
  })

  test('a tag kept off by the patterns is not served, cached or not', async () => {
    await using at = await openManifests()
    at.upstream.holdManifest('latest', {})
    await at.get('latest')
    at.upstream.failure = 'not-allowed'
    await expect(at.get('latest')).rejects.toMatchObject({ status: 403 })
    at.clock.advance(6 * minute)
    await expect(at.get('latest')).rejects.toMatchObject({ status: 403 })
  })

  test('a tag seen by HEAD only is not served stale', async () => {
    await using at = await openManifests()
    at.upstream.holdManifest('latest', {})
    await at.head('latest')
    at.clock.advance(6 * minute)
    at.upstream.failure = 'server-error'
    await expect(at.head('latest')).rejects.toMatchObject({ status: 503 })
    await expect(at.get('latest')).rejects.toMatchObject({ status: 503 })
  })

  test('an upstream that hangs is waited for no longer than the policy says', async () => {
    await using at = await openManifests()
    at.upstream.holdManifest('latest', {})
    await at.get('latest')
    at.clock.advance(6 * minute)
    const gate = Promise.withResolvers<void>()
    at.upstream.gate = gate.promise
    const asking = Promise.all([at.get('latest'), at.get('latest')])
    await at.clock.untilSleeping(2)
    at.clock.advance(3_000)
    for (const { provenance } of await asking) expect(provenance.outcome).toBe('stale')
    expect(at.asked()).toEqual(['GET latest', 'HEAD latest'])
    gate.resolve()
  })

  test('an image whose layers are known to be gone is not served', async () => {
    await using at = await openManifests()
    const layer = Buffer.from('layer')
    const layerDigest = at.upstream.holdBlob(layer)
    const layers = [{ mediaType: 'x/layer', digest: layerDigest, size: layer.length }]
    at.upstream.holdManifest('latest', { layers })
    await at.get('latest')
    const { store, catalog } = at.rig.deps
    const key = { registry: at.upstream.registry, repository: targetOf(at.upstream).repository }
    await store.put(layerDigest, layer)
    await catalog.putBlob(key, layerDigest, { size: layer.length, isPublic: true })
    at.clock.advance(6 * minute)
    at.upstream.failure = 'server-error'
    expect((await at.get('latest')).provenance.outcome).toBe('stale')
    await rm(store.layout.cached(layerDigest))
    await expect(at.get('latest')).rejects.toMatchObject({ status: 503 })
  })
})

test('a disk that takes no manifest fails no pull', async () => {
  await using at = await openManifests()
  const { body } = at.upstream.holdManifest('latest', {})
  await rm(`${at.rig.storePath}/trash`, { recursive: true })
  expect((await at.get('latest')).body).toEqual(body)
  await at.settled()
  expect((await at.get('latest')).body).toEqual(body)
})
