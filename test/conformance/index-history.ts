/** Random histories of an index against plain maps: nothing put is lost, nothing dropped returns, no mark outlives its rows. */
import { type Arbitrary, array, assert, asyncProperty, constantFrom, nat, record } from 'fast-check'
import { expect, test } from 'vitest'
import type { Index, Listing, RepositoryKey } from '../../src/index/index.ts'
import { dashed } from '../../src/oci/digest.ts'
import type { Tag } from '../../src/oci/name.ts'
import { runs } from '../support/runs.ts'
import type { IndexPlace } from './index.ts'
import { digest, everything, keyOf, manifestEntry, referrer, tagged } from './index-samples.ts'

const keys = [keyOf('a'), keyOf('a/b'), keyOf('a', 'ghcr.io'), keyOf('a', '_local')]
const names = ['a', 'B', '_', '1.0', '1.0-x'] as Tag[]
const digests = ['x', 'y', 'z'].map(digest)
const subject = digest('subject')
const marks: readonly Listing[] = ['tags', 'manifests', 'blobs', 'referrers']

const operations = ['put', 'put', 'put', 'drop', 'mark', 'flush', 'reopen'] as const
const step = record({
  operation: constantFrom(...operations),
  listing: constantFrom(...marks),
  key: nat(keys.length - 1),
  name: nat(names.length - 1),
  version: nat(1000),
})
type Step = typeof step extends Arbitrary<infer T> ? T : never

export function indexHistories(name: string, createPlace: () => Promise<IndexPlace>) {
  test(`index: ${name}: any history is read as it was written`, async () => {
    const histories = array(step, { maxLength: 60 })
    await assert(
      asyncProperty(histories, async history => {
        await using place = await createPlace()
        await replay(place, history)
      }),
      runs(60),
    )
  })
}

/** Repository and listing → name → version; and which of them are complete. */
class Model {
  readonly rows = new Map<string, Map<string, number>>()
  readonly complete = new Set<string>()

  of(key: RepositoryKey, listing: Listing): Map<string, number> {
    const place = this.place(key, listing)
    const rows = this.rows.get(place) ?? new Map<string, number>()
    this.rows.set(place, rows)
    return rows
  }

  place(key: RepositoryKey, listing: Listing): string {
    return JSON.stringify([key.registry, key.repository, listing])
  }
}

async function replay(place: IndexPlace, history: readonly Step[]) {
  const model = new Model()
  let index = await place.open()
  for (const { operation, listing, key: at, name, version } of history) {
    const key = keys[at] ?? keyOf('a')
    if (operation === 'put') await put(index, model, { key, listing, name, version })
    else if (operation === 'drop') await drop(index, model, { key, listing, name })
    else if (operation === 'flush') await index.flush()
    else if (operation === 'mark') {
      await index.markComplete(key, listing)
      model.complete.add(model.place(key, listing))
    } else if (place.lasts) {
      await index.close()
      index = await place.open()
    }
    await compare(index, model, key)
  }
  for (const key of keys) await compare(index, model, key)
  await index.close()
}

interface Row {
  key: RepositoryKey
  listing: Listing
  name: number
}

const nameOf = ({ name }: Pick<Row, 'name'>) => names[name] ?? ('a' as Tag)
const digestAt = ({ name }: Pick<Row, 'name'>) => digests[name % digests.length] ?? digest('x')
const referrerAt = (row: Pick<Row, 'name'>, version: number) => ({
  ...referrer('r'),
  digest: digestAt(row),
  size: version,
})

async function put(index: Index, model: Model, row: Row & { version: number }) {
  const { key, listing, version } = row
  if (listing === 'tags') await index.putTag(key, nameOf(row), tagged('t', { size: version }))
  if (listing === 'manifests') await index.putManifest(key, digestAt(row), manifestEntry({ size: version }))
  if (listing === 'blobs')
    await index.putBlob(key, digestAt(row), { size: version, isPublic: version % 2 === 0 })
  if (listing === 'referrers') await index.putReferrer(key, subject, referrerAt(row, version))
  model.of(key, listing).set(listing === 'tags' ? nameOf(row) : digestAt(row), version)
}

async function drop(index: Index, model: Model, row: Row) {
  const { key, listing } = row
  if (listing === 'tags') await index.dropTag(key, nameOf(row))
  if (listing === 'manifests') await index.dropManifest(key, digestAt(row))
  if (listing === 'blobs') await index.dropBlob(key, digestAt(row))
  if (listing === 'referrers') await index.dropReferrer(key, subject, digestAt(row))
  model.of(key, listing).delete(listing === 'tags' ? nameOf(row) : digestAt(row))
}

async function compare(index: Index, model: Model, key: RepositoryKey) {
  for (const name of names) {
    const found = await index.tag(key, name)
    expect(found.answer === 'present' ? found.value.size : found.answer).toBe(
      answer(model, key, 'tags', name),
    )
  }
  for (const digest of digests) {
    const manifest = await index.manifest(key, digest)
    expect(manifest.answer === 'present' ? manifest.value.size : manifest.answer, dashed(digest)).toBe(
      answer(model, key, 'manifests', digest),
    )
    const blob = await index.blob(key, digest)
    expect(blob.answer === 'present' ? blob.value.size : blob.answer).toBe(
      answer(model, key, 'blobs', digest),
    )
    expect((await index.publicBlob(key.registry, digest)) !== undefined).toBe(isPublic(model, key, digest))
  }
  await compareLists(index, model, key)
}

async function compareLists(index: Index, model: Model, key: RepositoryKey) {
  const tags = await index.tags(key, { last: '1.0', limit: 2 })
  const after = [...model.of(key, 'tags').keys()].filter(name => name > '1.0')
  if (!model.complete.has(model.place(key, 'tags'))) expect(tags).toEqual({ answer: 'unknown' })
  else expect(tags).toEqual({ answer: 'present', value: after.sort().slice(0, 2) })

  const manifests = await index.manifests(key, { last: undefined, limit: 2 })
  const held = [...model.of(key, 'manifests')].sort(([a], [b]) => (a < b ? -1 : 1)).slice(0, 2)
  if (!model.complete.has(model.place(key, 'manifests'))) expect(manifests).toEqual({ answer: 'unknown' })
  else
    expect(manifests).toMatchObject({
      value: held.map(([digest, size]) => ({ digest, entry: { size } })),
    })

  const referrers = await index.referrers(key, subject, everything)
  const put = [...model.of(key, 'referrers')].sort(([a], [b]) => (a < b ? -1 : 1))
  if (!model.complete.has(model.place(key, 'referrers'))) expect(referrers.answer).toBe('unknown')
  else expect(referrers).toMatchObject({ value: put.map(([digest, size]) => ({ digest, size })) })
}

function answer(model: Model, key: RepositoryKey, listing: Listing, name: string): number | string {
  const complete = model.complete.has(model.place(key, listing))
  return model.of(key, listing).get(name) ?? (complete ? 'absent' : 'unknown')
}

function isPublic(model: Model, { registry }: RepositoryKey, digest: string): boolean {
  if (registry === '_local') return false
  return keys
    .filter(key => key.registry === registry)
    .some(key => (model.of(key, 'blobs').get(digest) ?? 1) % 2 === 0)
}
