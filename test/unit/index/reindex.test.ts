/** The index made from the records: complete where every record was read, and never complete by mistake. */
import { rm, symlink } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { Catalog } from '../../../src/index/catalog.ts'
import { Holdings } from '../../../src/index/local/holdings.ts'
import { rebuildIndex } from '../../../src/index/reindex.ts'
import type { RowIndex } from '../../../src/index/rows/row-index.ts'
import { openSqliteIndex } from '../../../src/index/rows/sqlite.ts'
import { createLogger } from '../../../src/observe/log.ts'
import { digestOf } from '../../../src/oci/digest.ts'
import type { Tag } from '../../../src/oci/name.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import type { Store } from '../../../src/store/store.ts'
import { digest, everything, keyOf, tagged } from '../../conformance/index-samples.ts'
import { openTestStore } from '../store/store-rig.ts'
import { pushedManifest } from './holdings-rig.ts'

const key = keyOf('a')
const strict = { strict: true }

async function openIndex(store: Store, path = store.layout.index): Promise<RowIndex> {
  return openSqliteIndex({ path, clock: systemClock, log: createLogger('silent') })
}

function parts(store: Store, index: RowIndex, catalog = new Catalog(index, store, systemClock, strict)) {
  const holdings = new Holdings({ index, store, clock: systemClock, log: createLogger('silent') })
  return { store, catalog, holdings }
}

async function storeWithTag() {
  const rig = await openTestStore()
  const index = await openIndex(rig.store, ':memory:')
  await (await new Catalog(index, rig.store, systemClock).moveTag(key, 'kept' as Tag, tagged('kept')))()
  await index.close()
  return rig
}

test('what records say is present, the rest absent, and referrers stay unknown', async () => {
  await using rig = await storeWithTag()
  const index = await openIndex(rig.store)
  expect(await rebuildIndex(parts(rig.store, index))).toMatchObject({ repositories: 1, tags: 1 })
  expect(await index.tag(key, 'kept' as Tag)).toMatchObject({ answer: 'present' })
  expect(await index.tag(key, 'other' as Tag)).toEqual({ answer: 'absent' })
  expect(await index.referrers(key, digest('subject'), everything)).toEqual({ answer: 'unknown' })
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
  const losing = new LosingCatalog(index, rig.store, systemClock)
  await expect(rebuildIndex(parts(rig.store, index, losing))).rejects.toThrow('run it again')
  expect(index.epoch).not.toBe(epoch)
  expect(await index.tag(key, 'other' as Tag)).toEqual({ answer: 'unknown' })
  await index.close()
})

test('an index without a file to last in is not called rebuilt', async () => {
  await using rig = await storeWithTag()
  const index = await openIndex(rig.store, ':memory:')
  await expect(rebuildIndex(parts(rig.store, index))).rejects.toThrow('could not be kept')
  await index.close()
})

test('a record that cannot be read ends it: what it says would be taken for absent', async () => {
  await using rig = await storeWithTag()
  const loop = rig.store.layout.tag(key, 'other' as Tag)
  await symlink(loop, loop)
  const index = await openIndex(rig.store)
  await expect(rebuildIndex(parts(rig.store, index))).rejects.toThrow('ELOOP')
  expect(await index.tag(key, 'third' as Tag)).toEqual({ answer: 'unknown' })
  await index.close()
})

test('local repositories are known whole afterwards, with their referrers, parents and names', async () => {
  await using rig = await openTestStore()
  const local = keyOf('team/app', '_local')
  const index = await openIndex(rig.store, ':memory:')
  const { holdings } = parts(rig.store, index)
  const subject = { mediaType: '', digest: digest('subject'), size: 7 }
  const layer = { mediaType: '', digest: digest('layer'), size: 5 }
  const body = Buffer.from(JSON.stringify({ subject, layers: [layer], artifactType: 'application/x' }))
  const pushed = digestOf(body)
  await rig.store.pushed.put(pushed, body)
  await holdings.putBlob(local, layer.digest, { size: 5 })
  await holdings.putManifest(local, pushed, pushedManifest(body, ['one']))
  await index.close()

  const again = await openIndex(rig.store)
  expect(await rebuildIndex(parts(rig.store, again))).toEqual({
    repositories: 1,
    tags: 1,
    manifests: 1,
    blobs: 1,
  })
  expect(await again.tags(local, everything)).toMatchObject({ value: ['one'] })
  expect(await again.parentsOf(local, layer.digest)).toMatchObject({ value: [pushed] })
  expect(await again.referrers(local, subject.digest, everything)).toMatchObject({
    value: [{ digest: pushed }],
  })
  expect(await again.referrers(local, digest('other'), everything)).toMatchObject({ value: [] })
  expect(await again.repositories('_local', everything)).toMatchObject({ value: ['team/app'] })
  expect(await again.holdersOf(layer.digest, 9)).toEqual([local])
  await again.close()
})
