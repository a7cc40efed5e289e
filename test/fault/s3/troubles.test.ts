/** The store over a bucket when things come in an unlucky order: answers that are late, an owner that slept, bytes that are wrong. */
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { describe, expect, test, vi } from 'vitest'
import { createLogger } from '../../../src/observe/log.ts'
import { createMetrics } from '../../../src/observe/metrics.ts'
import { digestOf } from '../../../src/oci/digest.ts'
import { sharedFirst } from '../../../src/pull/flights/shared-source.ts'
import type { Source } from '../../../src/pull/flights/source.ts'
import { type Clock, systemClock } from '../../../src/runtime/clock.ts'
import { Layout } from '../../../src/store/layout.ts'
import type { Objects } from '../../../src/store/objects.ts'
import { openBucket } from '../../../src/store/s3/open.ts'
import { bytesKey } from '../../../src/store/shared/keys.ts'
import { ObjectNames } from '../../../src/store/shared/names.ts'
import { Tier } from '../../../src/store/shared/tier.ts'
import { openStore } from '../../../src/store/store.ts'
import type { BlobBody } from '../../../src/upstream/upstream.ts'
import { FakeClock } from '../../fake/clock.ts'
import { hasS3, startS3 } from '../../support/s3.ts'
import { tempDir } from '../../support/temp-dir.ts'

const log = createLogger('silent')
const content = Buffer.from('pushed')
const digest = digestOf(content)
const durable = { durable: true }
const record = { v: 1, of: 'a tag' } as const

interface Setting {
  /** Methods of the bucket in place of its own. */
  changed?: (bucket: Objects) => Partial<Objects>
  assertOwner?: () => void
  patienceMs?: number
  clock?: Clock
}

async function storeScene({
  changed = () => ({}),
  assertOwner = () => {},
  patienceMs = 10_000,
  clock = systemClock,
}: Setting = {}) {
  await using resources = new AsyncDisposableStack()
  const folder = resources.use(await tempDir())
  const service = resources.use(await startS3())
  const bucket = await openBucket(service.options())
  const own = changed(bucket)
  const objects = new Proxy(bucket, {
    get(target, name) {
      const value: unknown = Reflect.get(own, name) ?? Reflect.get(target, name, target)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
  const shared = { objects, keepsCached: true, patienceMs, assertOwner }
  const store = await openStore(folder.join('data'), { log, clock, metrics: createMetrics(), shared })
  resources.defer(() => store.close())
  const owned = resources.move()
  return { store, bucket, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

describe.runIf(hasS3)('the store over a bucket', () => {
  test('an owner that slept through the end of its term takes no bytes away', async () => {
    let isOwner = true
    await using at = await storeScene({
      assertOwner: () => {
        if (!isOwner) throw new Error('the term is over')
      },
    })
    await at.store.pushed.put(digest, content)
    const removed = at.store.pushed.remove(digest, () => {
      isOwner = false // others have leant on them since
      return true
    })
    await expect(removed).rejects.toThrow('the term is over')
    expect(await at.store.pushed.look(digest)).toMatchObject({ size: content.length })
  })

  test('cached bytes that are known to be wrong are not pinned', async () => {
    await using at = await storeScene({ changed: () => ({ remove: () => new Promise(() => {}) }) })
    await at.bucket.put(bytesKey('cached', digest), Buffer.from('wrong!'))
    at.store.shared?.bytes.damaged('cached', digest)
    expect(await at.store.pushed.pin(digest)).toBe(false)
    expect(await at.store.pushed.look(digest)).toBeUndefined()
    expect(await at.store.size(digest)).toBeUndefined()
  })

  test('a flight waits no longer for the bucket than any pull, and goes upstream', async () => {
    await using at = await storeScene({
      changed: () => ({ open: () => new Promise(() => {}) }),
      patienceMs: 100,
    })
    const given = { anonymous: true } as BlobBody
    const upstream = { name: 'upstream', scope: '', open: async () => given } as unknown as Source
    const source = sharedFirst({ store: at.store, upstream })
    const ask = { first: 0, attempt: 0, signal: new AbortController().signal }
    expect(await source.open(digest, ask)).toBe(given)
  })

  test('an answer that a write has overtaken says nothing of what stands there now', async () => {
    const [answered, late] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    let isHeld = false
    await using at = await storeScene({
      changed: bucket => ({
        async read(...asked) {
          const holds = isHeld && asked[0].endsWith('latest')
          const found = await bucket.read(...asked)
          if (holds) answered.resolve()
          if (holds) await late.promise
          return found
        },
      }),
    })
    const { records, layout } = at.store
    const path = join(layout.localNames, 'team/app/_tags/latest')
    isHeld = true
    const reading = records.read(path)
    await answered.promise
    isHeld = false
    await records.save(path, record, durable)
    late.resolve()
    await reading
    await records.remove(path)
    expect(await records.read(path)).toBeUndefined()
  })
})

test.runIf(hasS3)(
  'what another replica fetched is put into the bucket here only when that one did not',
  async () => {
    const clock = new FakeClock()
    await using at = await storeScene({ clock })
    const key = bytesKey('cached', digest)
    await at.store.put(digest, content)
    await vi.waitFor(async () => expect(await at.bucket.head(key)).toBeDefined(), 10_000)
    await at.bucket.remove(key)
    at.store.shared?.bytes.offer(digest, { isBorrowed: true })
    expect(clock.sleeping).toBe(1)
    clock.advance(59_999)
    await at.store.shared?.drain()
    expect(await at.bucket.head(key)).toBeUndefined()
    clock.advance(60_001)
    await vi.waitFor(
      async () => expect(await at.bucket.head(key)).toMatchObject({ size: content.length }),
      10_000,
    )
  },
)

test('an object that stands for a folder, as consoles make them, is no name in it', async () => {
  const layout = new Layout('/store')
  const folder = { key: 'names/_local/', size: 0, version: '', changedAt: 0 }
  const list = async () => ({ objects: [folder], prefixes: ['names/_local/team/'], next: undefined })
  const objects = { name: 's3://with-a-console', list } as unknown as Objects
  const names = new ObjectNames(
    new Tier({ objects, settle: async () => {}, patienceMs: 10, clock: systemClock, log }),
    layout,
  )
  const found: string[] = []
  for await (const some of names.in(layout.localNames, 9)) found.push(...some)
  expect(found).toEqual(['team'])
})

describe('who can do without the bucket', () => {
  test('has what came while this process was busy for longer than that', async () => {
    const objects = { name: 's3://answers' } as Objects
    const tier = new Tier({ objects, settle: async () => {}, patienceMs: 10, clock: systemClock, log })
    await setImmediate() // from here on time-outs are looked at before what comes next
    const answer = tier.ifUp(async (_, late) => {
      const busyUntil = performance.now() + 50
      while (performance.now() < busyUntil);
      await setImmediate()
      return late
    })
    const late = await answer
    await setImmediate()
    expect([late?.aborted, tier.isUp]).toEqual([false, true])
  })

  test('waits no longer than that for one of which nobody knows yet whose it is', async () => {
    const objects = { name: 's3://hangs' } as Objects
    const settle = () => new Promise<never>(() => {})
    const tier = new Tier({ objects, settle, patienceMs: 10, clock: systemClock, log })
    expect(await tier.ifUp(async () => 'something')).toBeUndefined()
    expect([tier.isUp, tier.isWorking]).toEqual([false, false])
  })
})
