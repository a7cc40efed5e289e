/** Random readers, ranges, departures and faults over one Layover, and the properties that hold whatever the order. */
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { expect } from 'vitest'
import { readContent, type StoredBlob, seededBlob } from '../fake/bytes.ts'
import { artifactOf } from '../fake/content.ts'
import type { Fault, FaultSpec } from '../fake/fault.ts'
import { type Download, download, openDownload } from './download.ts'
import { tinyDisk } from './mounts.ts'
import { auditStore, miB, type Scene, startScene } from './scene.ts'

const blobs = [0, 1_000, 70_000, 1 * miB, 6 * miB].map((size, number) =>
  seededBlob(`property ${number}`, size),
)
const bundle = artifactOf(blobs)

/** What no upstream may see: it is the business of the client and of Layover alone. */
const clientSecrets = { authorization: 'Bearer of-the-client', cookie: 'session=of-the-client' }
const hubHosts = ['registry.hub.test', 'auth.hub.test', 'cdn-a.test', 'cdn-b.test']
const user = { username: 'mirror', password: 'only for the registry' }

/** One client; `turns` are how many turns of the event loop it waits before it asks. */
export type Action = { turns: number; blob: number } & (
  | { kind: 'read' | 'slow' | 'head' | 'tag' | 'digest' }
  | { kind: 'leave'; share: number }
  | { kind: 'range'; form: 'closed' | 'open' | 'suffix'; from: number; length: number }
)

const place = fc.double({ min: 0, max: 1, noNaN: true })
const about = { turns: fc.nat(200), blob: fc.nat(blobs.length - 1) }

const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ ...about, kind: fc.constantFrom('read', 'slow', 'head', 'tag', 'digest') }),
  },
  { weight: 2, arbitrary: fc.record({ ...about, kind: fc.constant('leave' as const), share: place }) },
  {
    weight: 3,
    arbitrary: fc.record({
      ...about,
      kind: fc.constant('range' as const),
      form: fc.constantFrom('closed', 'open', 'suffix'),
      from: place,
      length: fc.integer({ min: 1, max: 5 * miB }),
    }),
  },
)

const harms = [
  'fin',
  'rst',
  'corrupt',
  'short',
  'short-chunked',
  'chunked',
  'ignore-range',
  'drop',
  'status',
  'extra',
  'gzip',
  'html',
  'wrong-start',
  'wrong-total',
  'wrong-digest',
  'early-hints',
] as const

/** Of what the bytes are, or of how many there are. */
const lies: ReadonlySet<Harm['kind']> = new Set([
  'corrupt',
  'short',
  'short-chunked',
  'extra',
  'gzip',
  'html',
])

/** At what part of the blob, or of the manifest, the fault strikes, once. */
export interface Harm {
  /** One more than there are: the manifest. */
  blob: number
  at: number
  kind: (typeof harms)[number]
}

const harm: fc.Arbitrary<Harm> = fc.record({
  blob: fc.nat(blobs.length),
  at: place,
  kind: fc.constantFrom(...harms),
})

export const history = fc.record({
  listed: fc.boolean(),
  actions: fc.array(action, { minLength: 1, maxLength: 25 }),
  harms: fc.array(harm, { maxLength: 5 }),
})

export interface History {
  /** The manifest is pulled first, so that the sizes of the blobs are known. */
  listed: boolean
  actions: readonly Action[]
  harms: readonly Harm[]
}

/** With room for everything. */
export async function expectProperties(given: History): Promise<void> {
  await using at = await startHub()
  const faults = await run(at, given)
  expectFewRequests(at, faults)
  await expectEverything(at)
  expectNoSecrets(at)
  for (const host of hubHosts) at.net.fault({ host, kind: 'refuse' })
  await expectEverything(at)
  await at.layover.stop()
  const kept = [bundle.digest, ...bundle.blobs.map(({ digest }) => digest)]
  expect((await auditStore(at.layover.storePath)).sort()).toEqual(kept.sort())
}

/** With less room than the blobs take: bytes are as right, but most of them are not kept. */
export async function expectRightOnTinyDisk(given: History): Promise<void> {
  using disk = tinyDisk(4 * miB)
  await using at = await startHub(disk.path)
  await run(at, given)
  await expectEverything(at)
  expectNoSecrets(at)
  await at.layover.stop()
  await auditStore(disk.path)
}

async function startHub(storePath?: string): Promise<Scene> {
  const at = await startScene({
    registry: 'hub',
    options: { access: 'shared', authRealms: ['auth.hub.test'] },
    credentials: { kind: 'basic', ...user },
    ...(storePath === undefined ? {} : { storePath }),
  })
  at.net.hub.addUser(user.username, user.password)
  at.put('1', bundle)
  return at
}

/** Resolves with the faults when every client is done; they are over then. */
async function run(at: Scene, { listed, actions, harms: planned }: History) {
  if (listed) await download(at.manifestUrl('1'))
  const faults = planned.map(each => ({ ...each, fault: at.net.fault(faultOf(each)) }))
  const lied = new Set(planned.filter(({ kind }) => lies.has(kind)).map(({ blob }) => blob))
  await Promise.all(actions.map(each => act(at, each, lied.has(each.blob))))
  for (const { fault } of faults) await fault.off()
  at.clock.advance(60_000)
  return faults
}

async function act(at: Scene, action: Action, lied: boolean): Promise<void> {
  for (let count = 0; count < action.turns; count += 1) await turn()
  const blob = blobOf(action)
  const url = `${at.blobUrl(blob)}?ns=${at.host}`
  const ask = (more: Record<string, string> = {}) => ({ headers: { ...clientSecrets, ...more } })
  switch (action.kind) {
    case 'tag':
    case 'digest':
      return expectManifest(
        await download(at.manifestUrl(action.kind === 'tag' ? '1' : bundle.digest), ask()),
      )
    case 'head':
      expect((await download(url, { ...ask(), method: 'HEAD' })).bytes).toHaveLength(0)
      return
    case 'read':
      return expectRight(await download(url, ask()), blob)
    case 'slow': {
      const reader = await openDownload(url, ask()).catch(() => undefined)
      for (let count = 0; count < 200; count += 1) await turn()
      if (reader) expectRight(await reader.finish(), blob)
      return
    }
    case 'leave': {
      const reader = await openDownload(url, ask()).catch(() => undefined)
      await reader?.take(Math.ceil(action.share * blob.size)).catch(() => {}) // a fault may come first
      reader?.leave()
      return
    }
    case 'range': {
      const [range, first, end] = rangeOf(action, blob)
      const found = await download(url, ask({ range }))
      // Closed ranges and suffixes of a blob that is not verified yet are given as upstream gives them.
      if (!lied || action.form === 'open') expectRight(found, blob, first, end)
    }
  }
}

function rangeOf(
  { form, from, length }: Action & { kind: 'range' },
  { size }: StoredBlob,
): [string, number, number] {
  const first = Math.floor(from * Math.max(0, size - 1))
  if (form === 'open') return [`bytes=${first}-`, first, size]
  if (form === 'suffix') return [`bytes=-${length}`, Math.max(0, size - length), size]
  return [`bytes=${first}-${first + length - 1}`, first, Math.min(size, first + length)]
}

function faultOf({ blob, at, kind }: Harm): FaultSpec {
  const target = blobs[blob]
  const size = target?.size ?? bundle.root.body.length
  const position = Math.floor(at * Math.max(0, size - 1))
  const path = target ? new RegExp(target.digest.slice('sha256:'.length)) : /\/manifests\//
  const aim = { path, method: 'GET', times: 1 }
  switch (kind) {
    case 'fin':
    case 'rst':
    case 'corrupt':
      return { ...aim, kind, at: position }
    case 'short':
    case 'short-chunked':
      return { ...aim, kind, length: position }
    case 'status':
      return { ...aim, kind, status: 503, body: '<html>busy</html>' }
    case 'extra':
      return { ...aim, kind, bytes: 1 + position }
    case 'chunked':
    case 'ignore-range':
    case 'drop':
    case 'gzip':
    case 'html':
    case 'wrong-start':
    case 'wrong-total':
    case 'wrong-digest':
    case 'early-hints':
      return { ...aim, kind }
  }
}

/** Right to the end, or an error, or broken. */
function expectRight({ status, bytes, whole }: Download, blob: StoredBlob, first = 0, end = blob.size) {
  if (!whole || status >= 400) return
  expect({ status, length: bytes.length }).toEqual({
    status: status === 200 && end - first === blob.size ? 200 : 206,
    length: end - first,
  })
  expect(bytes.equals(readContent(blob.content, first, end)), 'the bytes are those of the digest').toBe(true)
}

function expectManifest({ status, bytes, whole }: Download) {
  if (whole && status === 200) expect(bytes.equals(bundle.root.body)).toBe(true)
}

/** One fetch of each blob, and one more for each that was harmed. Short closed ranges are forwarded besides. */
function expectFewRequests(at: Scene, faults: readonly (Harm & { fault: Fault })[]) {
  for (const [number, blob] of blobs.entries()) {
    const hits = faults.filter(each => each.blob === number).reduce((sum, { fault }) => sum + fault.hits, 0)
    const fetches = at.gets(blob).filter(({ headers }) => !/^bytes=\d+-\d+$/.test(headers.range ?? ''))
    expect(fetches.length, `fetches of blob ${number}`).toBeLessThanOrEqual(1 + hits)
  }
}

async function expectEverything(at: Scene) {
  for (const reference of ['1', bundle.digest]) {
    const found = await download(at.manifestUrl(reference))
    expect({ status: found.status, whole: found.whole }).toEqual({ status: 200, whole: true })
    expect(found.bytes.equals(bundle.root.body)).toBe(true)
  }
  for (const blob of bundle.blobs) {
    const found = await download(at.blobUrl(blob))
    expect({ status: found.status, whole: found.whole, size: found.bytes.length }).toEqual({
      status: 200,
      whole: true,
      size: blob.size,
    })
    expect(found.bytes.equals(readContent(blob.content))).toBe(true)
  }
}

function expectNoSecrets(at: Scene) {
  const basic = `Basic ${Buffer.from(`${user.username}:${user.password}`).toString('base64')}`
  for (const { host, headers, query } of at.net.requests()) {
    expect(headers.cookie).toBeUndefined()
    expect(query.has('ns')).toBe(false)
    expect(headers.authorization).not.toBe(clientSecrets.authorization)
    if (host.startsWith('cdn-')) expect(headers.authorization).toBeUndefined()
    if (host !== 'auth.hub.test') expect(headers.authorization).not.toBe(basic)
  }
  const log = JSON.stringify(at.layover.lines)
  for (const secret of [
    user.password,
    basic,
    clientSecrets.authorization,
    clientSecrets.cookie,
    'Signature=',
  ]) {
    expect(log).not.toContain(secret)
  }
}

function blobOf({ blob }: { blob: number }): StoredBlob {
  const found = blobs[blob]
  if (!found) throw new Error(`there is no blob ${blob}`)
  return found
}
