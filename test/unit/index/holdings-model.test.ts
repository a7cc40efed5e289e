/** Crowds of pushes and deletes with crashes of the index in between: what Holdings answers is what the records say. */
import { readdir, readFile } from 'node:fs/promises'
import {
  type Arbitrary,
  array,
  assert,
  asyncProperty,
  constantFrom,
  nat,
  record,
  uniqueArray,
} from 'fast-check'
import { expect, test } from 'vitest'
import type { Holdings, PushedManifest } from '../../../src/index/local/holdings.ts'
import type { Digest } from '../../../src/oci/digest.ts'
import { RegistryError } from '../../../src/oci/errors.ts'
import type { Tag } from '../../../src/oci/name.ts'
import { digest, everything, keyOf } from '../../conformance/index-samples.ts'
import { runs } from '../../support/runs.ts'
import { layerOf, manifestOf, openHoldings, pushedManifest } from './holdings-rig.ts'

const keys = [keyOf('a', '_local'), keyOf('a/b', '_local')]
const tags = ['a', 'B', 'c'] as Tag[]
const layers = [digest('one'), digest('two')] as const
const image = manifestOf('image', [layers[0]])
const manifests = [image, manifestOf('both', layers), manifestOf('signature', [layers[1]], image.digest)]

const operations = [
  'putManifest',
  'putManifest',
  'putManifest',
  'putBlob',
  'putBlob',
  'dropTag',
  'dropManifest',
  'dropBlob',
  'notePull',
  'read',
  'list',
] as const
const operation = record({
  what: constantFrom(...operations),
  key: nat(keys.length - 1),
  manifest: nat(manifests.length - 1),
  layer: nat(layers.length - 1),
  tags: uniqueArray(constantFrom(...tags), { maxLength: 3 }),
})
type Operation = typeof operation extends Arbitrary<infer T> ? T : never
const step = record({
  crowd: array(operation, { minLength: 1, maxLength: 8 }),
  after: constantFrom('go on', 'go on', 'save', 'crash', 'lose', 'reopen'),
})
type Rig = Awaited<ReturnType<typeof openHoldings>>

test('any history of pushes, deletes and crashes is answered as the records have it', {
  timeout: 120_000,
}, async () => {
  await assert(
    asyncProperty(array(step, { maxLength: 8 }), async history => {
      await using rig = await openHoldings()
      for (const { body, digest: of } of manifests) await rig.store.pushed.put(of, body)
      let parts = rig.assemble()
      for (const { crowd, after } of history) {
        const results = await Promise.allSettled(crowd.map(one => run(parts.holdings, one)))
        for (const result of results) if (result.status === 'rejected') expectRefusal(result.reason)
        if (after !== 'go on') parts = await shake(rig, parts, after)
        await compare(rig, parts)
      }
      await parts.holdings.stop()
    }),
    runs(25),
  )
})

async function shake(
  rig: Rig,
  parts: ReturnType<Rig['assemble']>,
  how: 'save' | 'crash' | 'lose' | 'reopen',
) {
  if (how === 'save') {
    await rig.saveIndex()
    return parts
  }
  await parts.holdings.stop()
  if (how === 'crash') await rig.crash()
  else if (how === 'lose') await rig.loseIndex()
  else await rig.reopen()
  return rig.assemble()
}

const refusal = new RegistryError('DENIED', 'the test refuses')

function expectRefusal(reason: unknown) {
  if (reason !== refusal) throw reason
}

/** A manifest is refused where a layer is missing, and a layer's deletion where a manifest lists it. */
async function run(
  holdings: Holdings,
  { what, key: at, manifest, layer, tags: named }: Operation,
): Promise<unknown> {
  const key = keys[at] ?? keyOf('a', '_local')
  const { body, digest: of } = manifests[manifest] ?? image
  const blob = layers[layer] ?? layers[0]
  const [tag = tags[0] ?? ('a' as Tag)] = named
  switch (what) {
    case 'putManifest': {
      const allow: PushedManifest['allow'] = ({ missing }) => refuseIf(missing.length > 0)
      const pushed = pushedManifest(body, named, { allow })
      return holdings.putManifest(key, of, { ...pushed, requires: pushed.view.blobs })
    }
    case 'putBlob':
      return holdings.putBlob(key, blob, { size: layerOf(blob).size })
    case 'dropTag':
      return holdings.dropTag(key, tag)
    case 'dropManifest':
      return holdings.dropManifest(key, of, found => refuseIf(found.includes('B' as Tag)))
    case 'dropBlob':
      return holdings.dropBlob(key, blob, parents => refuseIf(parents.length > 0))
    case 'notePull':
      return holdings.notePull(key, of)
    case 'read':
      return Promise.all([holdings.tag(key, tag), holdings.manifest(key, of), holdings.blob(key, blob)])
    case 'list':
      return Promise.all([holdings.tags(key, everything), holdings.parentsOf(key, blob)])
  }
}

function refuseIf(condition: boolean) {
  if (condition) throw refusal
}

async function compare(rig: Rig, { holdings, repositories, revisions }: ReturnType<Rig['assemble']>) {
  const held: string[] = []
  for (const key of keys) {
    const truth = await readRecords(rig, key)
    const pointing = (of: Digest) => [...truth.tags].filter(([, at]) => at === of).map(([tag]) => tag)
    for (const tag of tags) expect((await holdings.tag(key, tag))?.digest).toBe(truth.tags.get(tag))
    expect(await holdings.tags(key, everything)).toEqual([...truth.tags.keys()])
    for (const { digest: of } of manifests) {
      expect((await holdings.manifest(key, of)) !== undefined).toBe(truth.manifests.includes(of))
      expect(await holdings.tagsOf(key, of)).toEqual(pointing(of))
    }
    for (const blob of layers) {
      expect((await holdings.blob(key, blob)) !== undefined).toBe(truth.blobs.includes(blob))
      expect(await holdings.parentsOf(key, blob)).toEqual(parentsIn(truth.manifests, blob))
    }
    const referrers = await holdings.referrers(key, image.digest, everything)
    expect(referrers.map(({ digest: of }) => of)).toEqual(truth.referrers)
    const page = await revisions.page(key, everything)
    expect(page.map(({ digest: of, tags: names }) => [of, names])).toEqual(
      truth.manifests.map(of => [of, pointing(of)]),
    )
    expectSound(truth)
    const isHeld = truth.tags.size + truth.manifests.length + truth.blobs.length > 0
    expect(await holdings.exists(key)).toBe(isHeld)
    if (isHeld) held.push(key.repository)
  }
  expect(await repositories.page(everything)).toEqual(held)
  for (const blob of layers) {
    const holder = await holdings.holderOf(blob)
    if (holder) expect((await readRecords(rig, holder)).blobs).toContain(blob)
  }
}

interface Truth {
  tags: ReadonlyMap<Tag, Digest>
  manifests: readonly Digest[]
  blobs: readonly Digest[]
  referrers: readonly Digest[]
}

/** Writes that are atomic against each other leave nothing that refers to what is gone. */
function expectSound({ tags: named, manifests: held, blobs, referrers }: Truth) {
  for (const of of named.values()) expect(held).toContain(of)
  for (const blob of layers) if (parentsIn(held, blob).length > 0) expect(blobs).toContain(blob)
  expect(referrers).toEqual(held.filter(of => of === manifests[2]?.digest))
}

function parentsIn(held: readonly Digest[], blob: Digest): Digest[] {
  const listing = manifests.filter(({ body }) => body.includes(blob)).map(({ digest: of }) => of)
  return held.filter(of => listing.includes(of))
}

async function readRecords({ store: { layout } }: Rig, key: (typeof keys)[number]): Promise<Truth> {
  const digestsIn = async (folder: string) =>
    (await namesIn(folder)).map(name => name.replace('-', ':') as Digest).sort()
  const named = new Map<Tag, Digest>()
  for (const name of (await namesIn(layout.tags(key))).sort()) {
    const record = JSON.parse(await readFile(layout.tag(key, name as Tag), 'utf8')) as { digest: Digest }
    named.set(name as Tag, record.digest)
  }
  return {
    tags: named,
    manifests: await digestsIn(layout.manifests(key)),
    blobs: await digestsIn(layout.blobs(key)),
    referrers: await digestsIn(layout.referrers(key, image.digest)),
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch {
    return [] // nothing was ever put there
  }
}
