/** A store with pushes, reads and collections over it, and a way to step in between any two steps of a collection. */
import { readdir } from 'node:fs/promises'
import { Collection } from '../../../src/collect/collection.ts'
import type { CollectionDeps, Policy } from '../../../src/collect/run.ts'
import { createLogger } from '../../../src/observe/log.ts'
import { createMetrics } from '../../../src/observe/metrics.ts'
import { algorithmOf, type Digest, digestOf, isDigest } from '../../../src/oci/digest.ts'
import { viewManifest } from '../../../src/oci/manifest.ts'
import { mediaTypes } from '../../../src/oci/media-type.ts'
import { parseRepositoryName, type Tag } from '../../../src/oci/name.ts'
import { LocalPull } from '../../../src/pull/local.ts'
import { type Local, localKey } from '../../../src/pull/target.ts'
import { createPush } from '../../../src/push/push.ts'
import { Background } from '../../../src/stream/background.ts'
import { Room } from '../../../src/stream/room.ts'
import { FakeClock } from '../../fake/clock.ts'
import { type LocalSetting, local } from '../../support/local.ts'
import { openHoldings } from '../index/holdings-rig.ts'

export const hourMs = 3_600_000
export const graceMs = 24 * hourMs
/** By then nothing is protected by its age. */
export const longMs = graceMs + 2 * hourMs

export type Step = (name: string) => Promise<void>

export async function openCollected(setting: Partial<LocalSetting> = {}) {
  const clock = new FakeClock(Date.now())
  const rig = await openHoldings({ clock })
  const namespace = local({ name: 'local', match: 'local/**', ...setting })
  const log = createLogger('info', { write: line => rig.lines.push(line) })
  const metrics = createMetrics()
  const background = new Background(error => {
    throw error
  })
  const assemble = () => {
    const namespaceOf = () => namespace
    const { holdings, catalog, index } = rig.assemble({ countedIn: () => namespace.quota && namespace.name })
    const { store } = rig
    const limits = { uploadBytes: 2 ** 30, uploadIdleMs: longMs, uploads: 100 }
    const room = new Room(() => 2 ** 26)
    const deps = { store, holdings, catalog, clock, log, metrics }
    const push = createPush({ ...deps, background, limits, room, namespaceOf })
    const pull = new LocalPull({ store, holdings, log })
    const policyOf = (): Policy => namespace
    const collected: CollectionDeps = { ...deps, policyOf, graceMs: () => graceMs }
    return {
      index,
      holdings,
      push,
      pull,
      /** @param step called before and after everything that a collection does with the store */
      collection: (step?: Step) =>
        new Collection(step ? { ...collected, ...stepped(collected, step) } : collected),
    }
  }
  const at = (name: string): Local => ({ namespace, repository: parseRepositoryName(`local/${name}`) })
  return {
    ...rig,
    ...assemble(),
    assemble,
    clock,
    metrics,
    at,
    /** Of the repository, as its records' files say. */
    held: async (name: string) => {
      const { layout } = rig.store
      const key = localKey(at(name))
      return {
        tags: (await namesIn(layout.tags(key))) as Tag[],
        manifests: digests(await namesIn(layout.manifests(key))),
        blobs: digests(await namesIn(layout.blobs(key))),
      }
    },
    /** What lies in `pushed/`. */
    stored: async (): Promise<Digest[]> => {
      const paths = await namesIn(`${rig.path}/pushed/sha256`, true)
      return digests(paths.map(path => `sha256-${path.split('/').at(-1)}`))
    },
    trash: () => namesIn(rig.store.layout.trash),
    async [Symbol.asyncDispose]() {
      await background.settled()
      await rig[Symbol.asyncDispose]()
    },
  }
}

export type Rig = Awaited<ReturnType<typeof openCollected>>

/** The store and the holdings as the collection sees them. */
function stepped({ store, holdings }: CollectionDeps, step: Step) {
  const { pushed, records } = store
  return {
    store: over(store, {
      records: over(records, { read: slow('read a record', records.read.bind(records), step) }),
      pushed: over(pushed, {
        read: slow('read a manifest', pushed.read.bind(pushed), step),
        look: slow('look at bytes', pushed.look.bind(pushed), step),
        remove: slow('remove bytes', pushed.remove.bind(pushed), step),
      }),
    }),
    holdings: over(holdings, {
      taking: over(holdings.taking, {
        tag: slow('take a tag', holdings.taking.tag.bind(holdings.taking), step),
        manifest: slow('take a manifest', holdings.taking.manifest.bind(holdings.taking), step),
        untagged: slow('note', holdings.taking.untagged.bind(holdings.taking), step),
        blobs: slow('take blobs', holdings.taking.blobs.bind(holdings.taking), step),
      }),
    }),
  }
}

function slow<A extends unknown[], T>(name: string, task: (...args: A) => Promise<T>, step: Step) {
  return async (...args: A): Promise<T> => {
    await step(`before: ${name}`)
    const result = await task(...args)
    await step(`after: ${name}`)
    return result
  }
}

function over<T extends object>(whole: T, parts: Partial<T>): T {
  return new Proxy(whole, {
    get(target, name) {
      if (name in parts) return parts[name as keyof T]
      const value = Reflect.get(target, name, target) as unknown
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}

export interface Pushed {
  readonly body: Buffer
  readonly digest: Digest
}

export function pushedOf(body: Buffer | string): Pushed {
  const bytes = Buffer.from(body)
  return { body: bytes, digest: digestOf(bytes) }
}

/** An image of these layers, about another manifest perhaps. */
export function imageOf(name: string, layers: readonly Pushed[], subject?: Pushed): Pushed {
  const part = ({ digest, body }: Pushed) => ({
    mediaType: 'application/octet-stream',
    digest,
    size: body.length,
  })
  const more = subject ? { subject: { ...part(subject), mediaType: mediaTypes.ociManifest } } : {}
  const fields = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, annotations: { name }, ...more }
  return pushedOf(JSON.stringify({ ...fields, layers: layers.map(part) }))
}

export function indexOf(children: readonly Pushed[]): Pushed {
  const manifests = children.map(({ digest, body }) => ({
    mediaType: mediaTypes.ociManifest,
    digest,
    size: body.length,
  }))
  return pushedOf(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }))
}

export function bodyOf({ body }: Pushed) {
  return { length: body.length, chunks: once(body), abort: () => {} }
}

async function* once(body: Buffer): AsyncGenerator<Buffer> {
  if (body.length > 0) yield body
}

export function putManifest(
  { push, at }: Pick<Rig, 'push' | 'at'>,
  name: string,
  of: Pushed,
  ...tags: string[]
) {
  return push.manifests.put(at(name), {
    reference: { kind: 'digest', digest: of.digest },
    tags: tags as Tag[],
    contentType: viewManifest(of.body)?.mediaType,
    body: of.body,
    beneath: undefined,
  })
}

/** What the records and the bytes lack of each other: what is held has its bytes, a layer that is listed is held. */
export async function complaints(rig: Rig, names: readonly string[]): Promise<string[]> {
  const found = await Promise.all(names.map(name => complaintsOf(rig, name)))
  return found.flat()
}

async function complaintsOf(rig: Rig, name: string): Promise<string[]> {
  const held = await rig.held(name)
  const all = [...held.manifests, ...held.blobs]
  const bytes = new Map<Digest, Buffer | undefined>()
  for (const digest of all) bytes.set(digest, await rig.store.pushed.read(digest))
  const damaged = all.filter(digest => {
    const body = bytes.get(digest)
    return body === undefined || digestOf(body, algorithmOf(digest)) !== digest
  })
  const lacking = held.manifests.flatMap(digest => {
    const body = bytes.get(digest)
    const view = body && viewManifest(body)
    return (view?.blobs ?? [])
      .filter(child => !all.includes(child.digest))
      .map(child => `${digest} lacks ${child.digest}`)
  })
  return [...damaged.map(digest => `${digest} is gone or damaged`), ...lacking].map(
    text => `${name}: ${text}`,
  )
}

/** What the manifests of a repository list. */
export async function listedIn(rig: Rig, name: string): Promise<Digest[]> {
  const listed = new Set<Digest>()
  for (const digest of (await rig.held(name)).manifests) {
    const body = await rig.store.pushed.read(digest)
    for (const child of (body && viewManifest(body)?.blobs) ?? []) listed.add(child.digest)
  }
  return [...listed].sort()
}

async function namesIn(folder: string, recursive = false): Promise<string[]> {
  try {
    return (await readdir(folder, { recursive })).sort()
  } catch {
    return [] // nothing was ever put there
  }
}

function digests(names: readonly string[]): Digest[] {
  return names
    .map(name => name.replace('-', ':'))
    .filter(isDigest)
    .sort()
}
