/** What is counted of a store. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Tag } from '../../../src/oci/name.ts'
import { localKey } from '../../../src/pull/target.ts'
import { countQuotas } from '../../../src/scrub/quota-use.ts'
import { countStore } from '../../../src/scrub/stats.ts'
import type { RepositoryKey } from '../../../src/store/layout.ts'
import { bodyOf, imageOf, pushedOf, putManifest } from '../collect/collect-rig.ts'
import { flipBit, openScrubbed } from './scrub-rig.ts'

const layer = pushedOf('a layer')
const other = pushedOf('another layer')
const image = imageOf('image', [layer])

test('files and bytes by area, names by registry, and what lies there under two names', async () => {
  await using rig = await openScrubbed()
  const { layout } = rig.store
  await rig.keepManifest(image)
  await rig.keepBlob(layer)
  await rig.store.pushed.pin(layer.digest)
  await rig.push.uploads.push(rig.at('a'), other.digest, bodyOf(other))
  await flipBit(layout.pushed(other.digest))
  await rig.scrub().run()
  await rig.push.uploads.push(rig.at('b'), other.digest, bodyOf(other))
  await putManifest(rig, 'a', image, 'v1', 'v2')
  await rig.push.uploads.start(rig.at('a'))
  await writeFile(layout.partial(layer.digest, 'flight'), 'part')
  await writeFile(join(layout.trash, 'leaving'), '123')
  await mkdir(join(layout.names, 'quay.io'))
  const size = image.body.length
  const stats = await countStore(layout)
  expect(stats).toMatchObject({
    areas: {
      cached: { files: 2, bytes: 7 + size },
      pushed: { files: 3, bytes: 7 + 13 + size },
      partial: { files: 1, bytes: 4 },
      uploads: { files: 1 },
      trash: { files: 1, bytes: 3 },
      quarantine: { files: 1, bytes: 13 },
    },
    shared: { files: 1, bytes: 7 },
    registries: {
      'docker.io': { repositories: 1, tags: 0, manifests: 1, blobs: 1 },
      _local: { repositories: 2, tags: 2, manifests: 1, blobs: 2 },
    },
  })
  expect(Object.keys(stats.registries)).toHaveLength(2)
})

test('what namespaces use of their quotas, from the records alone', async () => {
  await using rig = await openScrubbed()
  await rig.push.uploads.push(rig.at('a'), layer.digest, bodyOf(layer))
  await rig.push.uploads.push(rig.at('b'), layer.digest, bodyOf(layer))
  await putManifest(rig, 'a', image, 'v1', 'v2')
  await writeFile(rig.store.layout.tag(localKey(rig.at('a')), 'torn' as Tag), '{')
  const a = { name: 'a', quota: { bytes: 1_000 } }
  const namespaces = [a, { name: 'b', quota: { tags: 5 } }, { name: 'unlimited' }]
  const namespaceOf = ({ repository }: RepositoryKey) =>
    namespaces.find(({ name }) => repository === `local/${name}`)
  const bytes = layer.body.length
  expect(await countQuotas(rig.store, namespaces, namespaceOf)).toEqual([
    {
      namespace: 'a',
      bytes: { used: bytes + image.body.length, allowed: 1_000 },
      tags: { used: 2, allowed: null },
    },
    { namespace: 'b', bytes: { used: bytes, allowed: null }, tags: { used: 0, allowed: 5 } },
  ])
})
