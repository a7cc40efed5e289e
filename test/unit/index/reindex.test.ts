/** The index made from the records: complete where every record was read, and never complete by mistake. */
import { rm, symlink } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { Catalog } from '../../../src/index/catalog.ts'
import { rebuildIndex } from '../../../src/index/reindex.ts'
import type { RowIndex } from '../../../src/index/row-index.ts'
import { openSqliteIndex } from '../../../src/index/sqlite.ts'
import { createLogger } from '../../../src/observe/log.ts'
import type { Tag } from '../../../src/oci/name.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import type { Store } from '../../../src/store/store.ts'
import { digest, keyOf, tagged } from '../../conformance/index-samples.ts'
import { openTestStore } from '../store/store-rig.ts'

const key = keyOf('a')
const strict = { strict: true }

async function openIndex(store: Store, path = store.layout.index): Promise<RowIndex> {
  return openSqliteIndex({ path, clock: systemClock, log: createLogger('silent') })
}

async function storeWithTag() {
  const rig = await openTestStore()
  const index = await openIndex(rig.store, ':memory:')
  await new Catalog(index, rig.store, systemClock).moveTag(key, 'kept' as Tag, tagged('kept'))
  await index.close()
  return rig
}

test('what records say is present, the rest absent, and referrers stay unknown', async () => {
  await using rig = await storeWithTag()
  const index = await openIndex(rig.store)
  expect(await rebuildIndex(rig.store, new Catalog(index, rig.store, systemClock, strict))).toMatchObject({
    tags: 1,
  })
  expect(await index.tag(key, 'kept' as Tag)).toMatchObject({ answer: 'present' })
  expect(await index.tag(key, 'other' as Tag)).toEqual({ answer: 'absent' })
  expect(await index.referrers(key, digest('subject'))).toEqual({ answer: 'unknown' })
  await index.close()
})

test('an index that begins again while it is filled is not marked complete', async () => {
  await using rig = await storeWithTag()
  const index = await openIndex(rig.store)
  class LosingCatalog extends Catalog {
    override async tag(...[at, tag]: Parameters<Catalog['tag']>) {
      const found = await super.tag(at, tag)
      await index.flush()
      await rm(rig.store.layout.index)
      await index.putTag(keyOf('b'), 'x' as Tag, tagged('x'))
      await index.flush()
      return found
    }
  }
  const { epoch } = index
  await expect(rebuildIndex(rig.store, new LosingCatalog(index, rig.store, systemClock))).rejects.toThrow(
    'run it again',
  )
  expect(index.epoch).not.toBe(epoch)
  expect(await index.tag(key, 'other' as Tag)).toEqual({ answer: 'unknown' })
  await index.close()
})

test('an index without a file to last in is not called rebuilt', async () => {
  await using rig = await storeWithTag()
  const index = await openIndex(rig.store, ':memory:')
  await expect(rebuildIndex(rig.store, new Catalog(index, rig.store, systemClock))).rejects.toThrow('on disk')
  await index.close()
})

test('a record that cannot be read ends it: what it says would be taken for absent', async () => {
  await using rig = await storeWithTag()
  const loop = rig.store.layout.tag(key, 'other' as Tag)
  await symlink(loop, loop)
  const index = await openIndex(rig.store)
  await expect(rebuildIndex(rig.store, new Catalog(index, rig.store, systemClock, strict))).rejects.toThrow(
    'ELOOP',
  )
  expect(await index.tag(key, 'third' as Tag)).toEqual({ answer: 'unknown' })
  await index.close()
})
