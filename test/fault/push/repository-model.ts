/**
 * Two repositories under several clients at once, as a model: after each batch of concurrent requests there has to be an order
 * of them, one after another, that explains every answer and everything that can be seen afterwards.
 */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect } from 'vitest'
import { digestOf } from '../../../src/oci/digest.ts'
import { mediaTypes } from '../../../src/oci/media-type.ts'
import { raw } from '../../fake/content.ts'
import { bytes, locationOf, type PushScene, pushScene } from '../../http/push/scene.ts'

const repositories = ['local/a', 'local/b'] as const
const tags = ['x', 'y', 'v1'] as const
/** What tags that must not move are called. */
const immutable = 'v*'

const blobs = [bytes(100), bytes(20_000), Buffer.alloc(0)].map(body => ({ body, digest: digestOf(body) }))
const part = (index: number) => ({
  mediaType: 'application/octet-stream',
  digest: blobs[index]?.digest,
  size: blobs[index]?.body.length,
})

const subject = imageOf({ config: part(0), layers: [part(1)] })
const about = { subject: { mediaType: subject.mediaType, digest: subject.digest, size: subject.body.length } }
const manifests = [
  { manifest: subject, lists: [0, 1], isReferrer: false },
  { manifest: imageOf({ config: part(0), layers: [part(2)], ...about }), lists: [0, 2], isReferrer: true },
  { manifest: imageOf({ config: part(1), layers: [], ...about }), lists: [1], isReferrer: true },
]

function imageOf(fields: object) {
  return raw(
    JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociManifest, ...fields }),
    mediaTypes.ociManifest,
  )
}

const repository = fc.constantFrom(...repositories)
const blob = fc.nat({ max: blobs.length - 1 })
const manifest = fc.nat({ max: manifests.length - 1 })
const tag = fc.constantFrom(...tags)
const kindOf = <K extends string>(kind: K) => fc.constant(kind)

const request = fc.oneof(
  fc.record({ kind: kindOf('push blob'), repository, blob, inSession: fc.boolean() }),
  fc.record({ kind: kindOf('mount'), repository, blob, from: fc.option(repository, { nil: undefined }) }),
  fc.record({ kind: kindOf('delete blob'), repository, blob }),
  fc.record({ kind: kindOf('push manifest'), repository, manifest, tags: fc.uniqueArray(tag) }),
  fc.record({ kind: kindOf('delete tag'), repository, tag }),
  fc.record({ kind: kindOf('delete manifest'), repository, manifest }),
  fc.record({ kind: kindOf('pull'), repository, tag }),
)

type Request = typeof request extends fc.Arbitrary<infer T> ? T : never

export const repositoryHistory = fc.array(
  fc.record({
    requests: fc.array(request, { minLength: 2, maxLength: 6 }),
    afterwards: fc.constantFrom('nothing', 'nothing', 'nothing', 'restart', 'lose the index'),
  }),
  { minLength: 1, maxLength: 6 },
)

export type RepositoryHistory = typeof repositoryHistory extends fc.Arbitrary<infer T> ? T : never

export async function expectRepositoryModel(history: RepositoryHistory): Promise<void> {
  await using at = await pushScene({
    local: [{ name: 'local', match: 'local/**', immutableTags: [immutable] }],
  })
  let state = empty
  for (const { requests, afterwards } of history) {
    const statuses = await Promise.all(requests.map(one => carryOut(at, one)))
    const seen = await look(at)
    const told = requests.map((one, index) => `${JSON.stringify(one)} → ${statuses[index]}`)
    const explained = explains(state, requests, { statuses, seen })
    expect(explained, `from ${state} by ${told.join(', ')} to ${seen}`).toBe(true)
    state = seen
    if (afterwards !== 'nothing') {
      await at.layover.stop()
      if (afterwards === 'lose the index') await loseIndex(at)
      await at.layover.restart()
      expect(await look(at), `after ${told.join(', ')} and: ${afterwards}`).toBe(state)
    }
  }
  await at.untilNoSessions()
}

async function loseIndex({ layover }: PushScene): Promise<void> {
  for (const suffix of ['', '-wal', '-shm'])
    await rm(join(layover.storePath, `index.sqlite${suffix}`), { force: true })
}

/** What there is, one word each: `local/a blob 0`, `local/a manifest 1`, `local/a tag x 1`; sorted, as text, to be compared. */
type State = string
const empty: State = ''
const wordsOf = (state: State) => new Set(state === '' ? [] : state.split(','))
const stateOf = (words: Iterable<string>): State => [...words].sort().join()

// The requests, carried out.

async function carryOut(at: PushScene, one: Request): Promise<number> {
  const base = `/v2/${one.repository}`
  switch (one.kind) {
    case 'push blob': {
      const { body, digest } = blobOf(one.blob)
      if (one.inSession) return (await at.close(await at.start('', one.repository), digest, body)).status
      return (await at.ask(`${base}/blobs/uploads/?digest=${digest}`, { method: 'POST', body })).status
    }
    case 'mount': {
      const from = one.from === undefined ? '' : `&from=${one.from}`
      const path = `${base}/blobs/uploads/?mount=${blobOf(one.blob).digest}${from}`
      const answer = await at.ask(path, { method: 'POST' })
      if (answer.status === 202) await at.ask(locationOf(answer), { method: 'DELETE' })
      return answer.status
    }
    case 'delete blob':
      return (await at.ask(`${base}/blobs/${blobOf(one.blob).digest}`, { method: 'DELETE' })).status
    case 'push manifest': {
      const { manifest: pushed } = manifestOf(one.manifest)
      const [only, ...more] = one.tags
      if (only !== undefined && more.length === 0) return (await at.put(pushed, only, one.repository)).status
      const query = one.tags.map(name => `tag=${name}`).join('&')
      return (await at.put(pushed, `${pushed.digest}?${query}`, one.repository)).status
    }
    case 'delete tag':
      return (await at.ask(`${base}/manifests/${one.tag}`, { method: 'DELETE' })).status
    case 'delete manifest':
      return (
        await at.ask(`${base}/manifests/${manifestOf(one.manifest).manifest.digest}`, { method: 'DELETE' })
      ).status
    case 'pull': {
      const { status, headers, body } = await at.ask(`${base}/manifests/${one.tag}`)
      if (status === 200) expect(headers['docker-content-digest']).toBe(digestOf(body))
      return status
    }
  }
}

function blobOf(index: number) {
  const found = blobs[index]
  if (!found) throw new Error(`there is no blob ${index}`)
  return found
}

function manifestOf(index: number) {
  const found = manifests[index]
  if (!found) throw new Error(`there is no manifest ${index}`)
  return found
}

/** Everything that can be seen over HTTP, after every way of seeing it agreed with the others. */
async function look(at: PushScene): Promise<State> {
  const words = await Promise.all(repositories.map(name => lookAt(at, name)))
  return stateOf(words.flat())
}

async function lookAt(at: PushScene, name: string): Promise<string[]> {
  const words: string[] = []
  for (const [index, { body, digest }] of blobs.entries()) {
    const [got, head] = await both(at, `/v2/${name}/blobs/${digest}`)
    expect(head.status).toBe(got.status)
    if (got.status === 200) expect(got.body.equals(body)).toBe(true)
    if (got.status === 200) words.push(`${name} blob ${index}`)
  }
  const referrers: string[] = []
  for (const [index, { manifest: kept, isReferrer }] of manifests.entries()) {
    const [got, head] = await both(at, `/v2/${name}/manifests/${kept.digest}`)
    expect(head.status).toBe(got.status)
    if (got.status !== 200) continue
    expect(got.body.equals(kept.body)).toBe(true)
    words.push(`${name} manifest ${index}`)
    if (isReferrer) referrers.push(kept.digest)
  }
  const listed = JSON.parse((await at.ask(`/v2/${name}/referrers/${subject.digest}`)).body.toString()) as {
    manifests: { digest: string }[]
  }
  expect(listed.manifests.map(({ digest }) => digest)).toEqual(referrers.sort())
  const found: string[] = []
  for (const one of tags) {
    const [got, head] = await both(at, `/v2/${name}/manifests/${one}`)
    expect(head.status).toBe(got.status)
    if (got.status !== 200) continue
    found.push(one)
    const index = manifests.findIndex(({ manifest: kept }) => kept.body.equals(got.body))
    expect(words, 'what a tag points at is there').toContain(`${name} manifest ${index}`)
    words.push(`${name} tag ${one} ${index}`)
  }
  const list = await at.ask(`/v2/${name}/tags/list`)
  expect(list.status).toBe(words.length === 0 ? 404 : 200)
  if (list.status === 200)
    expect((JSON.parse(list.body.toString()) as { tags: string[] }).tags).toEqual(found.sort())
  return words
}

function both(at: PushScene, path: string) {
  return Promise.all([at.ask(path), at.ask(path, { method: 'HEAD' })])
}

// The requests, as the model takes them.

interface Outcome {
  readonly statuses: readonly number[]
  readonly seen: State
}

/** Whether some order of the requests leads from the state to what was answered and seen. */
function explains(
  state: State,
  requests: readonly Request[],
  outcome: Outcome,
  done = new Set<number>(),
): boolean {
  if (done.size === requests.length) return state === outcome.seen
  return requests.some((one, index) => {
    if (done.has(index)) return false
    const { status, after } = apply(wordsOf(state), one)
    if (!status.includes(outcome.statuses[index] ?? 0)) return false
    return explains(stateOf(after), requests, outcome, new Set([...done, index]))
  })
}

interface Applied {
  /** Any of these may be answered. */
  status: readonly number[]
  after: Set<string>
}

function apply(state: Set<string>, one: Request): Applied {
  const name = one.repository
  switch (one.kind) {
    case 'push blob':
      return { status: [201], after: state.add(`${name} blob ${one.blob}`) }
    case 'mount': {
      const sources = one.from === undefined ? repositories : [name, one.from]
      if (!sources.some(from => state.has(`${from} blob ${one.blob}`))) return { status: [202], after: state }
      return { status: [201], after: state.add(`${name} blob ${one.blob}`) }
    }
    case 'delete blob':
      return deleteBlob(state, name, one.blob)
    case 'push manifest':
      return pushManifest(state, name, one)
    case 'delete tag': {
      const pointing = [...state].filter(word => word.startsWith(`${name} tag ${one.tag} `))
      if (one.tag.startsWith('v')) return { status: pointing.length > 0 ? [409] : [404, 409], after: state }
      return { status: pointing.length > 0 ? [202] : [404], after: without(state, pointing) }
    }
    case 'delete manifest': {
      const word = `${name} manifest ${one.manifest}`
      if (!state.has(word)) return { status: [404], after: state }
      const pointing = tags
        .map(name2 => `${name} tag ${name2} ${one.manifest}`)
        .filter(found => state.has(found))
      if (pointing.some(found => found.includes(' tag v'))) return { status: [409], after: state }
      return { status: [202], after: without(state, [word, ...pointing]) }
    }
    case 'pull': {
      const isThere = [...state].some(word => word.startsWith(`${name} tag ${one.tag} `))
      return { status: [isThere ? 200 : 404], after: state }
    }
  }
}

function deleteBlob(state: Set<string>, name: string, index: number): Applied {
  const word = `${name} blob ${index}`
  if (!state.has(word)) return { status: [404], after: state }
  const isListed = manifests.some(
    ({ lists }, number) => lists.includes(index) && state.has(`${name} manifest ${number}`),
  )
  return isListed ? { status: [405], after: state } : { status: [202], after: without(state, [word]) }
}

function pushManifest(
  state: Set<string>,
  name: string,
  { manifest: index, tags: wanted }: { manifest: number; tags: readonly string[] },
): Applied {
  const moved = [...state].filter(word => wanted.some(one => word.startsWith(`${name} tag ${one} `)))
  if (moved.some(word => word.includes(' tag v') && !word.endsWith(` ${index}`)))
    return { status: [409], after: state }
  const set = wanted.map(one => `${name} tag ${one} ${index}`)
  return { status: [201], after: new Set([...without(state, moved), `${name} manifest ${index}`, ...set]) }
}

function without(state: Set<string>, words: readonly string[]): Set<string> {
  return new Set([...state].filter(word => !words.includes(word)))
}
