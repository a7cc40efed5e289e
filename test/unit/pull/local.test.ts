/** Local reads while the repository changes under them. */
import { describe, expect, test } from 'vitest'
import type { ManifestEntry, TagEntry } from '../../../src/index/index.ts'
import { createLogger } from '../../../src/observe/log.ts'
import { type Digest, digestOf } from '../../../src/oci/digest.ts'
import type { RepositoryName, Tag } from '../../../src/oci/name.ts'
import { type LocalDeps, LocalPull } from '../../../src/pull/local.ts'
import { local } from '../../support/local.ts'

const where = {
  namespace: local({ name: 'local', match: 'local/**' }),
  repository: 'local/app' as RepositoryName,
}
const reference = { kind: 'tag', tag: 'v1' as Tag } as const
const bodies = ['first', 'second', 'third'].map(text => Buffer.from(text))
const [first, second, third] = bodies.map(body => digestOf(body)) as [Digest, Digest, Digest]

/** The tag points at these in turn, at each as often as it is asked; only some of them are held. */
function pull(tags: readonly Digest[], heldDigests: readonly Digest[]) {
  const pulled: Digest[] = []
  const left = [...tags]
  const holdings: Partial<LocalDeps['holdings']> = {
    tag: () => Promise.resolve({ digest: left.length > 1 ? left.shift() : left[0] } as TagEntry),
    manifest: (_key, digest) => Promise.resolve(heldDigests.includes(digest) ? entryOf(digest) : undefined),
    notePull: (_key, digest) => void pulled.push(digest),
    renewManifest: () => Promise.resolve(true),
  }
  const pushed = {
    read: (digest: Digest) => Promise.resolve(bodyOf(digest)),
    size: (digest: Digest) => Promise.resolve(bodyOf(digest)?.length),
  }
  const log = createLogger('silent', { write: () => {} })
  const deps = { holdings, store: { pushed }, log } as unknown as LocalDeps
  return { pulled, local: new LocalPull(deps) }
}

function bodyOf(digest: Digest): Buffer | undefined {
  return bodies.find(body => digestOf(body) === digest)
}

function entryOf(digest: Digest): ManifestEntry {
  return { mediaType: 'application/json', size: bodyOf(digest)?.length } as ManifestEntry
}

describe('a tag', () => {
  test('that is moved, and what it left deleted, in the middle of a read gives what it points at now', async () => {
    const found = await pull([first, second], [second]).local.manifest(where, reference, { head: false })
    expect(found).toMatchObject({ digest: second, body: bodies[1] })
  })

  test('that is moved again and again is followed a few times', async () => {
    const found = await pull([first, second, third], [third]).local.manifest(where, reference, { head: true })
    expect(found).toMatchObject({ digest: third, body: undefined })
    const restless = Array.from({ length: 100 }, (_, at) => (at % 2 === 0 ? first : second))
    expect(await pull(restless, []).local.manifest(where, reference, { head: true })).toBeUndefined()
  })

  test('whose manifest was just deleted is absent', async () => {
    expect(await pull([first], []).local.manifest(where, reference, { head: false })).toBeUndefined()
  })
})

test('a GET is a pull, and so is a HEAD by tag, which is all that a node with the image asks; a HEAD by digest is none', async () => {
  const { pulled, local: reads } = pull([first], [first, second])
  await reads.manifest(where, reference, { head: false })
  await reads.manifest(where, reference, { head: true })
  await reads.manifest(where, { kind: 'digest', digest: second }, { head: true })
  expect(pulled).toEqual([first, first])
})
