/** Records of local repositories in a bucket: an owner that slept changes nothing. */
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { createLogger } from '../../../src/observe/log.ts'
import { systemClock as clock } from '../../../src/runtime/clock.ts'
import { Layout } from '../../../src/store/layout.ts'
import { openBucket } from '../../../src/store/s3/open.ts'
import { ObjectRecords } from '../../../src/store/shared/object-records.ts'
import { Tier } from '../../../src/store/shared/tier.ts'
import { hasS3, startS3 } from '../../support/s3.ts'

const log = createLogger('silent')
const layout = new Layout('/store')
const path = join(layout.localNames, 'team/app/_tags/latest')
const record = (of: string) => ({ v: 1, of }) as const
const durable = { durable: true }

async function ownersScene() {
  const service = await startS3()
  const bucket = await openBucket(service.options())
  await bucket.probe()
  const settle = async () => {}
  const owner = (assertOwner = () => {}) =>
    new ObjectRecords({
      tier: new Tier({ objects: bucket, patienceMs: 10_000, settle, clock, log }),
      layout,
      log,
      assertOwner,
    })
  return {
    owner,
    async [Symbol.asyncDispose]() {
      bucket.close()
      await service[Symbol.asyncDispose]()
    },
  }
}

const unavailable = { code: 'UNAVAILABLE' }

describe.runIf(hasS3)('a record in a bucket', () => {
  test('is created once, replaced by version, saved and removed', async () => {
    await using at = await ownersScene()
    const records = at.owner()
    expect(await records.create(path, record('one'), durable)).toBe(true)
    expect(await records.create(path, record('two'), durable)).toBe(false)
    const found = await records.read(path)
    expect(found?.record).toEqual(record('one'))
    expect(await records.replace(path, record('two'), found?.version ?? '', durable)).toBe(true)
    expect(await records.replace(path, record('three'), found?.version ?? '', durable)).toBe(false)
    await records.save(path, record('four'), durable)
    await records.save(path, record('five'), durable)
    expect((await at.owner().read(path))?.record).toEqual(record('five'))
    await records.remove(path)
    await records.remove(path)
    expect(await records.read(path)).toBeUndefined()
  })

  test('is not written over by one who knows an earlier version', async () => {
    await using at = await ownersScene()
    const [slept, next] = [at.owner(), at.owner()]
    await slept.save(path, record('of the one that slept'), durable)
    await next.save(path, record('of the next'), durable)
    await expect(slept.save(path, record('late'), durable)).rejects.toMatchObject(unavailable)
    await next.save(path, record('of the next again'), durable)
    await slept.read(path)
    await next.save(path, record('last'), durable)
    await expect(slept.remove(path)).rejects.toMatchObject(unavailable)
    expect((await next.read(path))?.record).toEqual(record('last'))
    await slept.save(path, record('once it knows'), durable)
  })

  test('is not written by one who is no owner any more, whatever it found there', async () => {
    await using at = await ownersScene()
    const asleep = at.owner(() => {
      throw new Error('the term is over')
    })
    await expect(asleep.save(path, record('late'), durable)).rejects.toThrow('the term is over')
    await at.owner().save(path, record('there'), durable)
    await expect(asleep.remove(path)).rejects.toThrow('the term is over')
    expect((await at.owner().read(path))?.record).toEqual(record('there'))
  })
})
