/** A wall clock that is wrong for a while: nothing pushed is lost by it, and nothing lives for ever. */
import { utimes } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { filesUnder } from '../../bench/soak/occupancy.ts'
import { digestOf } from '../../src/oci/digest.ts'
import type { RetentionRule } from '../../src/pull/target.ts'
import { seededBlob } from '../fake/bytes.ts'
import { image } from '../fake/content.ts'
import { asked } from '../http/scene.ts'
import { day, hour, jumpScene, year } from './clock-jumps-scene.ts'

const minute = 60_000
const first = image('first', { layers: [300] })
const second = image('second', { layers: [300] })
const tag = 'app/manifests/v1'
const mib = 2 ** 20

describe('cached tags', () => {
  async function cached(setting: Parameters<typeof jumpScene>[0] = {}) {
    const at = await jumpScene(setting)
    at.net.plain.put('app', 'v1', first)
    return at
  }

  test('a tag and a listing that were checked by a clock that was ahead are asked for again', async () => {
    await using at = await cached()
    at.clock.set(year)
    await at.warm(tag)
    await at.warm('app/tags/list')
    at.clock.set(-year)
    at.net.plain.put('app', 'v1', second)
    await at.pass(6 * minute)
    expect((await at.ask(tag)).headers['docker-content-digest']).toBe(second.digest)
    await at.ask('app/tags/list')
    expect(asked(at.net)).toContain('GET plain.test /v2/app/tags/list')
  })

  test('a tag that was checked by a clock that is ahead is fresh no longer than one by a clock that is right', async () => {
    await using at = await cached()
    at.clock.set(year)
    await at.warm(tag)
    at.net.plain.put('app', 'v1', second)
    await at.pass(6 * minute)
    expect((await at.ask(tag)).headers['docker-content-digest']).toBe(second.digest)
  })

  test('a tag is served during an outage once the clock that was ahead is right again', async () => {
    await using at = await cached()
    await at.warm(tag)
    using _ = { [Symbol.dispose]: () => fault.release() }
    const fault = at.net.fault({ host: 'plain.test', kind: 'status', status: 500 })
    at.clock.set(year)
    expect(await at.status(tag)).toBe(503)
    at.clock.set(-year)
    await at.pass(6 * minute)
    expect(await at.status(tag)).toBe(200)
  })

  test('a tag that was checked by a clock that was ahead is served stale no longer than others', async () => {
    await using at = await cached()
    at.clock.set(year)
    await at.warm(tag)
    at.clock.set(-year)
    const fault = at.net.fault({ host: 'plain.test', kind: 'status', status: 500 })
    using _ = { [Symbol.dispose]: () => fault.release() }
    await at.pass(8 * day)
    expect(await at.status(tag)).toBe(503)
  })

  test('a tag that was found deleted by a clock that was ahead goes as others do', async () => {
    await using at = await cached()
    await at.warm(tag)
    at.clock.set(year)
    at.net.plain.remove('app', { tag: 'v1' })
    expect(await at.status(tag)).toBe(200)
    at.clock.set(-year)
    await at.pass(2 * hour)
    expect(await at.status(tag)).toBe(404)
  })

  test('what upstream did not have is asked for again, whatever the clock said', async () => {
    await using at = await cached()
    at.clock.set(year)
    expect(await at.status('app/manifests/v2')).toBe(404)
    at.clock.set(-year)
    at.net.plain.put('app', 'v2', second)
    await at.pass(minute)
    expect(await at.status('app/manifests/v2')).toBe(200)
  })
})

describe('cached bytes', () => {
  test('a clock that is ahead for an hour does not cost all that is kept for a time', async () => {
    await using at = await jumpScene({ upstream: { keeping: { unusedMs: 30 * day } } })
    at.net.plain.put('app', 'v1', first)
    await at.warm(tag)
    await at.pass(minute) // and its use is told of
    for (let count = 0; count < 2; count += 1) {
      at.clock.set(year) // once more, for uses that are told of late
      await at.pass(10 * minute)
      await at.pass(10 * minute)
    }
    at.clock.set(-2 * year)
    await at.pass(minute)
    expect(filesUnder(join(at.layover.storePath, 'cached'))).not.toEqual([])
  })

  test('what was used by a clock that was ahead makes room like everything else', async () => {
    await using at = await jumpScene({
      capacity: { maxBytes: 8 * mib },
      upstream: { keeping: { unusedMs: 100 * day } }, // uses are told of each time it is looked at
    })
    const [old, used, large] = [
      seededBlob('old', 3 * mib),
      seededBlob('used', 3 * mib),
      seededBlob('large', 4 * mib),
    ]
    for (const blob of [old, used, large]) at.net.plain.putBlob('app', blob)
    at.clock.set(year)
    await at.warm(`app/blobs/${old.digest}`)
    await at.pass(minute) // and its use is told of
    at.clock.set(-year)
    await at.pass(minute)
    await at.pass(2 * day) // longer than any use counts for
    await at.warm(`app/blobs/${used.digest}`)
    await at.warm(`app/blobs/${large.digest}`)
    const kept = filesUnder(join(at.layover.storePath, 'cached')).map(path => `sha256:${basename(path)}`)
    expect(kept.toSorted()).toEqual([used.digest, large.digest].toSorted())
  })
})

describe('pushed content', () => {
  const [config, layer, other] = [Buffer.from('{}'), Buffer.alloc(1_000, 1), Buffer.alloc(1_000, 2)]

  const ruleOf = (keep: Partial<RetentionRule['keep']>): RetentionRule => ({
    match: '*',
    keep: { last: undefined, newerThanMs: undefined, pulledWithinMs: undefined, ...keep },
    enforce: true,
  })

  async function pushed(local: NonNullable<Parameters<typeof jumpScene>[0]>['local'] = {}) {
    const at = await jumpScene({ local })
    await at.push('local/app', config)
    await at.push('local/app', layer)
    await at.push('local/app', other)
    return at
  }

  test('layers of a push under way outlive a collection by a clock that is ahead', async () => {
    await using at = await pushed()
    at.clock.set(year)
    await at.collect()
    at.clock.set(-year)
    await at.put('local/app', 'v1', layer)
    expect(await at.status(`local/app/blobs/${digestOf(layer)}`)).toBe(200)
  })

  test('tags of the last 30 days outlive a collection by a clock that is ahead', async () => {
    const rule = ruleOf({ newerThanMs: 30 * day })
    await using at = await pushed({ retention: [rule] })
    await at.put('local/app', 'v1', layer)
    at.clock.set(year)
    await at.collect()
    at.clock.set(-year)
    expect(await at.status('local/app/manifests/v1')).toBe(200)
  })

  test('the tag that was pushed last is kept, whatever the clock said before', async () => {
    const rule = ruleOf({ last: 1 })
    await using at = await pushed({ retention: [rule] })
    at.clock.set(year)
    await at.put('local/app', 'v1', layer)
    at.clock.set(-year)
    await at.pass(hour)
    await at.put('local/app', 'v2', other)
    await at.collect()
    expect(await at.status('local/app/manifests/v2')).toBe(200)
  })

  test('a manifest without a tag outlives a collection by a clock that is ahead', async () => {
    await using at = await pushed({ untaggedMs: 7 * day })
    const digest = await at.put('local/app', undefined, layer)
    await at.collect()
    at.clock.set(year)
    await at.collect()
    at.clock.set(-year)
    expect(await at.status(`local/app/manifests/${digest}`)).toBe(200)
  })

  test('what was pushed by a clock that was ahead is kept, and is garbage in the end', async () => {
    await using at = await pushed()
    at.clock.set(year)
    const late = await at.push('local/app', Buffer.alloc(1_000, 3))
    at.clock.set(-year)
    await at.collect()
    expect(await at.status(`local/app/blobs/${late}`)).toBe(200)
    at.clock.set(year)
    await at.collect()
    expect(await at.status(`local/app/blobs/${late}`)).toBe(200)
    await at.pass(2 * day)
    await at.collect()
    expect(await at.status(`local/app/blobs/${late}`)).toBe(404)
  })

  test('a clock that is set back costs nothing', async () => {
    const rule = ruleOf({ newerThanMs: 30 * day })
    await using at = await pushed({ retention: [rule], untaggedMs: 7 * day })
    await at.put('local/app', 'v1', layer)
    const untagged = await at.put('local/app', undefined, other)
    at.clock.set(-year)
    await at.collect()
    await at.collect()
    for (const reference of ['v1', untagged])
      expect(await at.status(`local/app/manifests/${reference}`)).toBe(200)
    await at.put('local/app', 'v2', other)
    expect(await at.status('local/app/manifests/v2')).toBe(200)
  })
})

describe('uploads', () => {
  const [begun, rest] = [Buffer.alloc(1_000, 1), Buffer.alloc(500, 2)]

  async function begin(at: Awaited<ReturnType<typeof jumpScene>>): Promise<string> {
    const { status, headers } = await at.ask('local/app/blobs/uploads/', { method: 'POST' })
    expect(status).toBe(202)
    const sent = await at.ask(String(headers.location), { method: 'PATCH', body: begun })
    expect(sent.status).toBe(202)
    return String(sent.headers.location)
  }

  test('an upload goes on over a clock that is set to and fro between its chunks', async () => {
    await using at = await jumpScene()
    const location = await begin(at)
    at.clock.set(year)
    at.clock.set(-2 * year)
    await at.pass(hour)
    const digest = digestOf(Buffer.concat([begun, rest]))
    const put = await at.ask(`${location}?digest=${digest}`, { method: 'PUT', body: rest })
    expect(put.status).toBe(201)
    at.clock.set(year)
    expect(await at.status(`local/app/blobs/${digest}`)).toBe(200)
  })

  test('an upload outlives the hour of a clock that is ahead', async () => {
    await using at = await jumpScene()
    const location = await begin(at)
    at.clock.set(year)
    await at.pass(hour)
    at.clock.set(-year)
    const digest = digestOf(Buffer.concat([begun, rest]))
    const put = await at.ask(`${location}?digest=${digest}`, { method: 'PUT', body: rest })
    expect(put.status).toBe(201)
  })

  test('an upload that was left while the clock was ahead is over in the end', async () => {
    await using at = await jumpScene()
    const location = await begin(at)
    const then = new Date(at.clock.now() + year)
    for (const path of filesUnder(join(at.layover.storePath, 'uploads'))) await utimes(path, then, then)
    await at.pass(hour) // and it is found to lie ahead
    await at.pass(2 * day)
    expect(await at.status(location)).toBe(404)
  })
})
