/** The order in which a push reaches the disk, as the system sees it: a kill keeps the page cache, and proves nothing about it. */
import { join } from 'node:path'
import { beforeAll, describe, expect, test, vi } from 'vitest'
import { digestOf } from '../../../src/oci/digest.ts'
import { readContent, type StoredBlob } from '../../fake/bytes.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { PowerCutDisk } from '../power-cut-disk.ts'
import { LayoverProcess } from '../process.ts'
import {
  answerTo,
  mayTrace,
  pathsOf,
  readTrace,
  straceCommand,
  type TraceEvent,
  traceNote,
} from '../strace.ts'
import { proxiedRepository, startProxied } from './crash-rounds.ts'
import { type Sending, type Sent, send } from './crash-send.ts'

const imageType = 'application/vnd.oci.image.manifest.v1+json'
const startMs = 60_000

/** What is on disk for good when a request is answered, by path below the store. */
type Promised = Readonly<Record<string, string>>

interface Answered {
  readonly sent: Sent
  readonly promised: Promised
}

describe.skipIf(!mayTrace)(`each step on the disk of a push, before its answer${traceNote}`, () => {
  let answered: ReadonlyMap<string, Answered>
  let kept: ReadonlyMap<string, Promised>
  let disk: PowerCutDisk
  let early: string[]
  let storeItself: ReturnType<PowerCutDisk['synced']>

  beforeAll(async () => {
    await using dir = await tempDir()
    const log = dir.join('trace')
    answered = await pushEverything(dir.path, log)
    const events = await readTrace(log)
    ;({ kept, disk, early } = replay(events, dir.join('data'), answered))
    const home = new PowerCutDisk(dir.path)
    for (const event of events) home.play(event)
    storeItself = home.synced(dir.join('data'))
  }, startMs)

  test.each([
    'a blob by POST and PUT',
    'a small blob in one POST',
    'a large blob in one POST',
    'a blob in chunks',
    'a blob of sha512',
    'a mount',
    'a mount of what is cached',
    'a manifest under a tag',
    'a manifest with a subject',
    'another manifest with that subject',
    'a manifest under two tags',
    'a tag that moves',
    'a tag that is deleted',
    'a blob that is deleted',
    'a manifest that is deleted',
  ])('%s', name => {
    const { sent, promised } = answered.get(name) ?? {}
    expect([201, 202], sent?.body.toString()).toContain(sent?.status)
    expect(kept.get(name)).toEqual(promised)
  })

  test('no file gets a name that readers look at while some of its content is not on disk', () => {
    expect(disk.premature.filter(path => /\/(?:pushed|_local)\//.test(path))).toEqual([])
  })

  test('the folder of the store, which the first start made', () => {
    expect(storeItself ?? []).toContain('names')
  })

  test('no record is written of bytes or of a manifest that is not on disk', () => {
    expect(early).toEqual([])
  })
})

const record = 'a record'
const gone = 'gone'
const missing = 'not on disk'
const app = 'local/team/app'

function pushed(content: Buffer, algorithm: 'sha256' | 'sha512' = 'sha256'): Promised {
  const hex = digestOf(content, algorithm).slice(7)
  return { [`pushed/${algorithm}/${hex.slice(0, 2)}/${hex}`]: `${algorithm}:${hex}` }
}

function link(folder: '_blobs' | '_manifests', digest: string, repository = app): string {
  return `names/_local/${repository}/${folder}/${digest.replace(':', '-')}`
}

function held(content: Buffer, repository = app, algorithm: 'sha256' | 'sha512' = 'sha256'): Promised {
  return { ...pushed(content, algorithm), [link('_blobs', digestOf(content, algorithm), repository)]: record }
}

function tagged(tag: string, content: Buffer): Promised {
  return { [`names/_local/${app}/_tags/${tag}`]: `a record of ${digestOf(content)}` }
}

function heldManifest(content: Buffer): Promised {
  return { ...pushed(content), [link('_manifests', digestOf(content))]: record }
}

function referring(subject: Buffer, referrer: Buffer, state = record): Promised {
  const [to, from] = [subject, referrer].map(content => digestOf(content).replace(':', '-'))
  return { [`names/_local/${app}/_referrers/${to}/${from}`]: state }
}

function manifest(name: string, subject?: Buffer): Buffer {
  const fields = subject && {
    subject: { mediaType: imageType, digest: digestOf(subject), size: subject.length },
  }
  const config = {
    mediaType: 'application/vnd.oci.empty.v1+json',
    digest: digestOf(Buffer.from('{}')),
    size: 2,
  }
  const annotations = { name }
  return Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: imageType, config, layers: [], annotations, ...fields }),
  )
}

/** One request of each kind. Resolves when the program has ended. */
async function pushEverything(home: string, log: string): Promise<Map<string, Answered>> {
  await using proxied = await startProxied()
  await using layover = await LayoverProcess.start({
    home,
    upstreamUrl: proxied.url,
    runner: straceCommand(log),
  })
  const answered = new Map<string, Answered>()
  const at = (path: string) => new URL(path, `${layover.url}/v2/${app}/`).href
  const ask = async (
    name: string,
    path: string,
    { promised, ...sending }: Sending & { promised: Promised },
  ) => {
    const sent = await send(at(path), sending)
    answered.set(name, { sent, promised })
    return sent.status
  }
  await pushBlobs(at, ask)
  await pushMounts(at, ask, proxied.blobs)
  await pushManifests(ask)
  await layover.stop()
  return answered
}

type At = (path: string) => string
type Ask = (name: string, path: string, sending: Sending & { promised: Promised }) => Promise<number>

async function pushBlobs(at: At, ask: Ask): Promise<void> {
  const started = async () => {
    const { headers } = await send(at('blobs/uploads/'), { method: 'POST' })
    return String(headers.location)
  }
  const two = Buffer.from('in two requests')
  const small = Buffer.from('a small blob')
  const chunked = Buffer.from('in chunks')
  const long = Buffer.from('under a long digest')
  const large = Buffer.alloc(3 * 2 ** 20, 'large')
  await ask('a blob by POST and PUT', `${await started()}?digest=${digestOf(two)}`, {
    method: 'PUT',
    body: two,
    promised: held(two),
  })
  await ask('a small blob in one POST', `blobs/uploads/?digest=${digestOf(small)}`, {
    method: 'POST',
    body: small,
    promised: held(small),
  })
  await ask('a large blob in one POST', `blobs/uploads/?digest=${digestOf(large)}`, {
    method: 'POST',
    body: large,
    promised: held(large),
  })
  const location = await started()
  await send(at(location), { method: 'PATCH', body: chunked.subarray(0, 6) })
  await ask('a blob in chunks', `${location}?digest=${digestOf(chunked)}`, {
    method: 'PUT',
    body: chunked.subarray(6),
    promised: held(chunked),
  })
  await ask('a blob of sha512', `blobs/uploads/?digest=${digestOf(long, 'sha512')}`, {
    method: 'POST',
    body: long,
    promised: held(long, app, 'sha512'),
  })
  await ask('a blob that is deleted', `blobs/${digestOf(two)}`, {
    method: 'DELETE',
    promised: { [link('_blobs', digestOf(two))]: gone },
  })
}

async function pushMounts(at: At, ask: Ask, [cached]: readonly StoredBlob[]): Promise<void> {
  const small = Buffer.from('a small blob')
  const other = 'local/other'
  await ask('a mount', `/v2/${other}/blobs/uploads/?mount=${digestOf(small)}&from=${app}`, {
    method: 'POST',
    promised: held(small, other),
  })
  if (!cached) throw new Error('there is nothing to cache')
  await send(at(`/v2/${proxiedRepository}/blobs/${cached.digest}`))
  const mount = `blobs/uploads/?mount=${cached.digest}&from=${proxiedRepository}`
  const promised = held(readContent(cached.content))
  await vi.waitFor(
    async () => {
      const status = await ask('a mount of what is cached', mount, { method: 'POST', promised })
      expect(status, 'what was pulled is linked behind its answer').toBe(201)
    },
    { timeout: 10_000 },
  )
}

async function pushManifests(ask: Ask): Promise<void> {
  const headers = { 'content-type': imageType }
  const put = (body: Buffer, promised: Promised) => ({ method: 'PUT', headers, body, promised })
  const [first, second, third] = [manifest('first'), manifest('second'), manifest('third')]
  const [signature, other] = [manifest('signature', first), manifest('other', first)]
  await ask(
    'a manifest under a tag',
    'manifests/v1',
    put(first, { ...heldManifest(first), ...tagged('v1', first) }),
  )
  await ask(
    'a manifest with a subject',
    'manifests/signed',
    put(signature, {
      ...heldManifest(signature),
      ...tagged('signed', signature),
      ...referring(first, signature),
    }),
  )
  await ask(
    'another manifest with that subject',
    `manifests/${digestOf(other)}`,
    put(other, { ...heldManifest(other), ...referring(first, other) }),
  )
  await ask(
    'a manifest under two tags',
    `manifests/${digestOf(second)}?tag=a&tag=b`,
    put(second, { ...heldManifest(second), ...tagged('a', second), ...tagged('b', second) }),
  )
  await ask(
    'a tag that moves',
    'manifests/v1',
    put(third, { ...heldManifest(third), ...tagged('v1', third) }),
  )
  await ask('a tag that is deleted', 'manifests/a', {
    method: 'DELETE',
    promised: { [`names/_local/${app}/_tags/a`]: gone, ...tagged('b', second) },
  })
  await ask('a manifest that is deleted', `manifests/${digestOf(signature)}`, {
    method: 'DELETE',
    promised: {
      [link('_manifests', digestOf(signature))]: gone,
      [`names/_local/${app}/_tags/signed`]: gone,
      ...referring(first, signature, gone),
    },
  })
}

/** What of each promise was on disk when its answer began, and which records came before their bytes. */
function replay(events: readonly TraceEvent[], store: string, answered: ReadonlyMap<string, Answered>) {
  const disk = new PowerCutDisk(store)
  const kept = new Map<string, Promised>()
  const early: string[] = []
  for (const event of events) {
    const { phase, call } = event
    const answer = phase === 'begun' ? answerTo(call) : undefined
    for (const [name, { sent, promised }] of answered) {
      if (answer?.port !== sent.port || kept.has(name)) continue
      const states = Object.keys(promised).map(path => [path, stateOf(disk, join(store, path))])
      kept.set(name, Object.fromEntries(states) as Promised)
    }
    const [from, to] = phase === 'ended' && /^(?:rename|link)/.test(call.name) ? pathsOf(call) : []
    if (from !== undefined && to !== undefined) {
      const needed = neededBy(disk, from, to)
      if (needed !== undefined && disk.synced(join(store, needed)) === undefined)
        early.push(`${to.slice(store.length + 1)} before ${needed}`)
    }
    disk.play(event)
  }
  return { disk, kept, early }
}

/** What has to be on disk, below the store, when a record gets its name. */
function neededBy(disk: PowerCutDisk, from: string, to: string): string | undefined {
  const [, repository = '', kind, name = ''] = /\/_local\/(.*)\/_(\w+)\/(.*)$/.exec(to) ?? []
  const [algorithm = '', hex = ''] = name.split('/').at(-1)?.split('-') ?? []
  if (kind === 'blobs' || kind === 'manifests') return `pushed/${algorithm}/${hex.slice(0, 2)}/${hex}`
  if (kind === 'referrers') return link('_manifests', `${algorithm}:${hex}`, repository)
  if (kind !== 'tags') return undefined
  const { digest } = JSON.parse(disk.content(from)?.toString() ?? '{}') as { digest?: string }
  return link('_manifests', digest ?? 'none', repository)
}

/** In the words of a promise. */
function stateOf(disk: PowerCutDisk, path: string): string {
  if (!disk.mayBeThere(path)) return gone
  const content = disk.synced(path)
  if (!Buffer.isBuffer(content)) return missing
  const [, algorithm] = /\/pushed\/(sha256|sha512)\//.exec(path) ?? []
  if (algorithm === 'sha256' || algorithm === 'sha512') return digestOf(content, algorithm)
  const text = content.toString()
  if (!/^{"v":1,.*}$/s.test(text)) return text
  const { digest } = JSON.parse(text) as { digest?: string }
  return digest === undefined ? record : `a record of ${digest}`
}
