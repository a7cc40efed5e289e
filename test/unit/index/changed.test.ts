/** Who is told of changes: a local write is over when they have taken it in, and a pull waits for nobody. */
import { describe, expect, test } from 'vitest'
import { Catalog } from '../../../src/index/catalog.ts'
import type { Changed } from '../../../src/index/index.ts'
import { Holdings } from '../../../src/index/local/holdings.ts'
import { createMemoryIndex } from '../../../src/index/rows/memory.ts'
import { createLogger } from '../../../src/observe/log.ts'
import type { Tag } from '../../../src/oci/name.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { digest, keyOf, tagged } from '../../conformance/index-samples.ts'
import { isSettled } from '../../support/is-settled.ts'
import { openTestStore } from '../store/store-rig.ts'
import { manifestOf, pushedManifest } from './holdings-rig.ts'

const key = keyOf('team/app', '_local')
const proxied = keyOf('library/alpine')
const latest = 'latest' as Tag
const image = manifestOf('image')

/** @param heard settles what `changed` gave */
async function setUp() {
  const rig = await openTestStore()
  const { store } = rig
  const index = createMemoryIndex()
  const waiting: PromiseWithResolvers<void>[] = []
  let called = Promise.withResolvers<void>()
  const changed: Changed = () => {
    const told = Promise.withResolvers<void>()
    waiting.push(told)
    called.resolve()
    return told.promise
  }
  const holdings = new Holdings({ index, store, clock: systemClock, log: createLogger('silent'), changed })
  return {
    store,
    index,
    holdings,
    catalog: new Catalog(index, store, systemClock, { changed }),
    /** The next who was told, once there is one. */
    async told() {
      await called.promise
      called = Promise.withResolvers()
      const told = waiting.shift()
      if (!told) throw new Error('nobody was told')
      return told
    },
    [Symbol.asyncDispose]: () => rig[Symbol.asyncDispose](),
  }
}

describe('a write to a local repository', () => {
  test('is over when everybody was told of it, who find it in the index by then', async () => {
    await using at = await setUp()
    await at.store.pushed.put(image.digest, image.body)
    const writes = [
      () => at.holdings.putManifest(key, image.digest, pushedManifest(image.body, ['latest'])),
      () => at.holdings.dropTag(key, latest),
      () => at.holdings.putBlob(key, digest('b'), { size: 1 }),
    ]
    for (const write of writes) {
      const writing = write()
      const told = await at.told()
      expect(await isSettled(writing)).toBe(false)
      told.resolve()
      await writing
    }
    expect(await at.index.tag(key, latest)).toEqual({ answer: 'unknown' })
  })

  test('that fails is over when everybody was told, and fails as it did', async () => {
    await using at = await setUp()
    const answers = [() => Promise.resolve(), () => Promise.reject(new Error('not heard'))]
    for (const answer of answers) {
      const stored = Promise.reject(new Error('disk full'))
      const pushed = pushedManifest(image.body, ['latest'], { stored })
      const writing = at.holdings.putManifest(key, image.digest, pushed)
      writing.catch(() => {})
      const told = await at.told()
      expect(await isSettled(writing)).toBe(false)
      told.resolve(answer())
      await expect(writing).rejects.toThrow('disk full')
    }
  })

  test('fails when somebody could not be told', async () => {
    await using at = await setUp()
    const writing = at.holdings.putBlob(key, digest('b'), { size: 1 })
    writing.catch(() => {})
    ;(await at.told()).reject(new Error('not heard'))
    await expect(writing).rejects.toThrow('not heard')
  })
})

describe('what comes from an upstream', () => {
  test('waits for nobody, and a failure to tell is none of its own', async () => {
    await using at = await setUp()
    await (await at.catalog.moveTag(proxied, latest, tagged('a')))()
    ;(await at.told()).reject(new Error('not heard'))
    await at.catalog.dropTag(proxied, latest)
    await at.told()
  })
})
