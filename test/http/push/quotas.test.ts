/** Quotas of local namespaces: how much their repositories may hold together, and what a push beyond it is told. */
import { describe, expect, test, vi } from 'vitest'
import { digestOf } from '../../../src/oci/digest.ts'
import type { Quota } from '../../../src/pull/target.ts'
import { image } from '../../fake/content.ts'
import type { LocalSetting } from '../../support/local.ts'
import { scene as mirror } from '../scene.ts'
import { bytes, errorsOf, name, type PushScene, pushScene, send } from './scene.ts'

const [first, second] = [bytes(600), bytes(600, 1)]
const kibibyte = 1024

const limited = (quota: Quota | undefined): LocalSetting[] => [{ name: 'local', match: 'local/**', quota }]
const scene = (quota: Quota) => pushScene({ local: limited(quota) })

const blob = (body: Buffer, repository = name) => `/v2/${repository}/blobs/${digestOf(body)}`
const whole = (body: Buffer, repository = name) => `/v2/${repository}/blobs/uploads/?digest=${digestOf(body)}`

/** Used and limit of the namespace, as the metrics tell. */
async function used(at: PushScene, what: 'bytes' | 'tags' = 'bytes'): Promise<[number, number]> {
  const text = (await (await fetch(`${at.layover.url}/metrics`)).text()).split('\n')
  const value = (metric: string) =>
    Number(text.find(line => line.startsWith(`${metric}{namespace="local"}`))?.split(' ')[1])
  return [value(`layover_quota_used_${what}`), value(`layover_quota_${what}`)]
}

describe('a quota of bytes', () => {
  test('refuses what goes beyond it, however it comes, with 403 DENIED, and keeps nothing of it', async () => {
    await using at = await scene({ bytes: kibibyte })
    await at.push(first)
    const parts = [second.subarray(0, 300), second.subarray(300)]
    const tries = {
      'POST with its length': () => at.ask(whole(second), { method: 'POST', body: second }),
      'chunked POST': () => at.ask(whole(second), { method: 'POST', body: parts }),
      'PUT of a session': async () => at.close(await at.start(), digestOf(second), second),
      'chunked PUT of a session': async () => at.close(await at.start(), digestOf(second), parts),
      PATCH: async () => at.patch(await at.start(), second),
      'chunked PATCH': async () => at.patch(await at.start(), parts),
      'second PATCH': async () => {
        const location = await at.start()
        expect((await at.patch(location, second.subarray(0, 400))).status).toBe(202)
        const refused = await at.patch(location, second.subarray(400))
        expect(await at.rangeOf(location)).toBe('0-399')
        await at.ask(location, { method: 'DELETE' })
        return refused
      },
    }
    for (const [how, attempt] of Object.entries(tries)) {
      const refused = await attempt()
      expect([how, ...at.failure(refused)]).toEqual([how, 403, 'DENIED'])
      expect(await used(at), how).toEqual([600, kibibyte])
    }
    expect((await at.ask(blob(second), { method: 'HEAD' })).status).toBe(404)
  })

  test('says whose it is, what is used, and what can be done', async () => {
    await using at = await scene({ bytes: kibibyte })
    await at.push(first)
    const [error] = errorsOf(await at.ask(whole(second), { method: 'POST', body: second }))
    expect(error?.message).toBe(
      'the namespace local has 600 of 1024 bytes and the push needs 600 more: delete what is not needed, or have local[].quota.bytes raised',
    )
  })

  test('is that of all repositories of the namespace, each of which counts what it holds', async () => {
    await using at = await scene({ bytes: kibibyte })
    await at.push(first)
    const other = 'local/other'
    const mounted = await at.ask(`/v2/${other}/blobs/uploads/?mount=${digestOf(first)}&from=${name}`, {
      method: 'POST',
    })
    expect(at.failure(mounted)).toEqual([403, 'DENIED'])
    expect(at.failure(await at.ask(whole(second, other), { method: 'POST', body: second }))).toEqual([
      403,
      'DENIED',
    ])
  })

  test('counts mounts', async () => {
    await using at = await scene({ bytes: 2 * kibibyte })
    await at.push(first)
    const path = `/v2/local/other/blobs/uploads/?mount=${digestOf(first)}&from=${name}`
    for (const _ of [1, 2]) expect((await at.ask(path, { method: 'POST' })).status).toBe(201)
    expect((await used(at))[0]).toBe(1_200)
  })

  test('counts manifests', async () => {
    const { root } = image('small')
    await using at = await scene({ bytes: root.body.length + 10 })
    expect((await at.put(root, 'v1')).status).toBe(201)
    const { root: next } = image('other')
    expect(at.failure(await at.put(next, 'v2'))).toEqual([403, 'DENIED'])
    expect((await at.ask(`/v2/${name}/manifests/v2`)).status).toBe(404)
    expect((await at.put(root, 'v2')).status).toBe(201)
    expect((await used(at))[0]).toBe(root.body.length)
  })

  test('lets what is held already be pushed again', async () => {
    await using at = await scene({ bytes: 600 })
    await at.push(first)
    await at.push(first)
    expect((await at.close(await at.start(), digestOf(first), first)).status).toBe(201)
    expect((await used(at))[0]).toBe(600)
  })

  test('has room again at once after a delete, and after an upload was given up', async () => {
    await using at = await scene({ bytes: kibibyte })
    await at.push(first)
    expect((await at.ask(blob(first), { method: 'DELETE' })).status).toBe(202)
    const location = await at.start()
    expect((await at.patch(location, first)).status).toBe(202)
    expect(at.failure(await at.ask(whole(second), { method: 'POST', body: second }))).toEqual([403, 'DENIED'])
    expect((await at.ask(location, { method: 'DELETE' })).status).toBe(204)
    await at.push(second)
  })

  test('is kept by pushes at the same time', async () => {
    await using at = await scene({ bytes: 2_000 })
    const bodies = Array.from({ length: 8 }, (_, seed) => bytes(600, seed))
    const pushes = bodies.map(async (body, nth) => {
      if (nth % 2 === 0)
        return at.ask(whole(body), { method: 'POST', body: [body.subarray(0, 9), body.subarray(9)] })
      return at.close(await at.start(), digestOf(body), body)
    })
    const statuses = (await Promise.all(pushes)).map(({ status }) => status)
    expect(statuses.toSorted((one, other) => one - other)).toEqual([201, 201, 201, 403, 403, 403, 403, 403])
    expect((await used(at))[0]).toBe(1_800)
  })

  test('counts again after a restart, uploads that are open included', async () => {
    await using at = await scene({ bytes: 1_500 })
    await at.push(first)
    const location = await at.start()
    await at.patch(location, second.subarray(0, 500))
    await at.layover.restart()
    const refused = await at.ask(whole(second), { method: 'POST', body: second })
    expect(at.failure(refused)).toEqual([403, 'DENIED'])
    expect(await used(at)).toEqual([1_100, 1_500])
    expect((await at.close(location, digestOf(second), second.subarray(500))).status).toBe(201)
    expect(await used(at)).toEqual([1_200, 1_500])
  })

  test('takes what a reload says from then on', async () => {
    await using at = await scene({ bytes: kibibyte })
    await at.push(first)
    const path = whole(second)
    expect((await at.ask(path, { method: 'POST', body: second })).status).toBe(403)
    await at.layover.reload({ ...at.layover.config, local: limited({ bytes: 2 * kibibyte }) })
    expect((await at.ask(path, { method: 'POST', body: second })).status).toBe(201)
    await at.layover.reload({ ...at.layover.config, local: limited(undefined) })
    await at.push(bytes(kibibyte))
    await at.layover.reload({ ...at.layover.config, local: limited({ bytes: 3_000 }) })
    expect((await at.ask(whole(bytes(900)), { method: 'POST', body: bytes(900) })).status).toBe(403)
    expect(await used(at)).toEqual([1_200 + kibibyte, 3_000])
  })

  test('is another for each namespace', async () => {
    const local = [
      { name: 'tight', match: 'tight/**', quota: { bytes: 100 } },
      ...limited({ bytes: kibibyte }),
    ]
    await using at = await pushScene({ local })
    await at.push(first)
    const refused = await at.ask(whole(first, 'tight/app'), { method: 'POST', body: first })
    expect(at.failure(refused)).toEqual([403, 'DENIED'])
  })

  test('counts an overlay under every name that clients have for it as one', async () => {
    const local = [{ name: 'acme', match: 'docker.io/acme/**', overlay: true, quota: { bytes: kibibyte } }]
    await using at = await mirror({ local })
    const push = (body: Buffer, repository: string) =>
      send(at.layover.url, whole(body, repository), { method: 'POST', body })
    expect((await push(first, 'docker.io/acme/app')).status).toBe(201)
    expect((await push(first, 'acme/app')).status).toBe(201)
    expect((await push(second, 'acme/app')).status).toBe(403)
    expect((await push(second, 'acme/other')).status).toBe(403)
  })
})

describe('a quota of tags', () => {
  const [one, other] = [image('one').root, image('two').root]

  test('refuses one too many, and lets tags be moved, repeated and replaced', async () => {
    await using at = await scene({ tags: 2 })
    for (const tag of ['a', 'b', 'a']) expect((await at.put(one, tag)).status).toBe(201)
    const refused = await at.put(one, 'c')
    expect(at.failure(refused)).toEqual([403, 'DENIED'])
    expect(errorsOf(refused)[0]?.message).toContain('has 2 of 2 tags')
    expect((await at.put(other, 'a')).status).toBe(201)
    expect((await at.ask(`/v2/${name}/manifests/a`, { method: 'DELETE' })).status).toBe(202)
    expect((await at.put(one, 'c')).status).toBe(201)
    expect(await used(at, 'tags')).toEqual([2, 2])
  })

  test('takes none of several tags where not all have room', async () => {
    await using at = await scene({ tags: 2 })
    expect(at.failure(await at.put(one, `${one.digest}?tag=a&tag=b&tag=c`))).toEqual([403, 'DENIED'])
    expect((await at.ask(`/v2/${name}/manifests/a`)).status).toBe(404)
    expect((await at.put(one, `${one.digest}?tag=a&tag=b`)).status).toBe(201)
  })

  test('is kept by pushes at the same time', async () => {
    await using at = await scene({ tags: 3 })
    const tags = ['a', 'b', 'c', 'd', 'e', 'f', 'g']
    const statuses = (await Promise.all(tags.map(tag => at.put(one, tag)))).map(({ status }) => status)
    expect(statuses.filter(status => status === 201)).toHaveLength(3)
    expect(await used(at, 'tags')).toEqual([3, 3])
  })

  test('loses those that go with their manifest', async () => {
    await using at = await scene({ tags: 2 })
    for (const tag of ['a', 'b']) await at.put(one, tag)
    expect((await at.ask(`/v2/${name}/manifests/${one.digest}`, { method: 'DELETE' })).status).toBe(202)
    expect(await used(at, 'tags')).toEqual([0, 2])
  })
})

test('a session that nobody goes on with is counted until it is reaped', async () => {
  const hour = 3_600_000
  await using at = await pushScene({ local: limited({ bytes: kibibyte }), limits: { uploadIdleMs: hour } })
  await at.patch(await at.start(), first)
  expect((await used(at))[0]).toBe(600)
  const isReaped = async () => {
    at.clock.advance(2 * hour) // others than the one that reaps may sleep first
    expect((await used(at))[0]).toBe(0)
  }
  await vi.waitFor(isReaped, { timeout: 10_000, interval: 20 })
  expect((await send(at.layover.url, whole(second), { method: 'POST', body: second })).status).toBe(201)
})
