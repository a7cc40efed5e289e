/** A whole site for one test: an origin with content and a Layover in front of it, or a Layover to push to, and folders for clients. */
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFailed } from 'vitest'
import { digestOf } from '../../src/oci/digest.ts'
import { mediaTypes } from '../../src/oci/media-type.ts'
import { type Bundle, type Content, multiArchImage, signatureOf } from './image.ts'
import { writeLayout } from './layout.ts'
import { Layover } from './layover.ts'
import { Origin, type Registry } from './origin.ts'
import { publish } from './publish.ts'

/** One visit of a client that has nothing yet: what it got, in a form that names no address. */
export type Visit = (registry: Registry, home: string) => Promise<unknown>

export const repository = 'team/app'
export const tag = '1.0'

export class Site implements AsyncDisposable {
  readonly image: Bundle = multiArchImage()
  /** Asked by the test itself. */
  readonly origin: Origin
  /** The same content for Layover alone, so that its requests can be counted and it can be taken away. */
  readonly #upstream: Origin
  readonly #layover: Layover
  readonly #root: string
  readonly #resources: AsyncDisposableStack

  private constructor(
    root: string,
    servers: { origin: Origin; upstream: Origin; layover: Layover },
    resources: AsyncDisposableStack,
  ) {
    this.#root = root
    this.origin = servers.origin
    this.#upstream = servers.upstream
    this.#layover = servers.layover
    this.#resources = resources
  }

  static async start(): Promise<Site> {
    const root = await mkdtemp(join(tmpdir(), 'layover-e2e-'))
    await using resources = new AsyncDisposableStack()
    resources.defer(() => rm(root, { recursive: true, force: true }))
    const origin = resources.use(await Origin.start(root, 'origin'))
    const upstream = resources.use(await Origin.start(root, 'upstream'))
    const layover = resources.use(await Layover.start(root, upstream))
    onTestFailed(() => console.error(layover.log()))
    const site = new Site(root, { origin, upstream, layover }, resources.move())
    await publish(origin, `${repository}:${tag}`, site.image)
    return site
  }

  /** A fresh folder under the site's own. */
  async folder(name: string): Promise<string> {
    const folder = join(this.#root, name)
    await mkdir(folder)
    return folder
  }

  /**
   * The client gets the same from the origin, through Layover, and from Layover once the origin is gone;
   * and Layover asked for no object twice.
   */
  async expectSame(visit: Visit, through: Registry = this.#layover): Promise<unknown> {
    const expected = await visit(this.origin, await this.folder('direct'))
    expect(await visit(through, await this.folder('cold'))).toEqual(expected)
    await this.#upstream.stop()
    this.#expectAskedOnce()
    expect(await visit(through, await this.folder('offline'))).toEqual(expected)
    return expected
  }

  /** Layover asked by a name without a registry, which the default upstream serves. */
  get byDefault(): Registry {
    return { address: this.#layover.address, namespace: '' }
  }

  /** The tag and the digest that it names count as one object. */
  #expectAskedOnce(): void {
    const { digest } = this.image.root
    const named = (uri: string) => (uri.endsWith(`/manifests/${tag}`) ? uri.replace(tag, digest) : uri)
    const bodies = this.#upstream
      .requests()
      .filter(
        ({ method, uri, status }) => method === 'GET' && status < 300 && /\/(?:blobs|manifests)\//.test(uri),
      )
      .map(({ uri }) => named(uri))
    expect(bodies).not.toEqual([])
    expect(bodies.toSorted()).toEqual([...new Set(bodies)].toSorted())
    expect(bodies.filter(uri => uri.includes('?'))).toEqual([])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync()
  }
}

/** Layover alone with its local names, and a folder for the clients that push to them. */
export class PushSite implements AsyncDisposable {
  readonly image: Bundle = multiArchImage()
  readonly signature: Bundle = signatureOf(this.image.root)
  readonly registry: Registry
  readonly root: string
  readonly #layover: Layover
  readonly #resources: AsyncDisposableStack

  private constructor(root: string, layover: Layover, resources: AsyncDisposableStack) {
    this.root = root
    this.registry = layover.local
    this.#layover = layover
    this.#resources = resources
  }

  static async start(): Promise<PushSite> {
    const root = await mkdtemp(join(tmpdir(), 'layover-e2e-'))
    await using resources = new AsyncDisposableStack()
    resources.defer(() => rm(root, { recursive: true, force: true }))
    const layover = resources.use(await Layover.start(root, { address: '127.0.0.1:1' }))
    onTestFailed(() => console.error(layover.log()))
    return new PushSite(root, layover, resources.move())
  }

  /** distribution, empty, to copy to; ended with the site. */
  async origin(): Promise<Origin> {
    return this.#resources.use(await Origin.start(this.root, 'origin'))
  }

  /** `host:port/local/name`, as clients write it. */
  at(name: string): string {
    return `${this.registry.address}/${this.registry.namespace}${name}`
  }

  /** The folder of an OCI layout for a client to push. */
  async layout(name: string, bundle: Bundle): Promise<string> {
    const folder = join(this.root, name)
    await writeLayout(folder, bundle)
    return folder
  }

  /** How a repository's blobs came: mounted from another one, or sent. */
  async expectBlobs(repository: string, expected: { mounted: number; sent: number }): Promise<void> {
    const starts = `/v2/${this.registry.namespace}${repository}/blobs/uploads/`
    const seen = () => {
      const statuses = this.#layover
        .requests()
        .filter(({ method, uri }) => method === 'POST' && uri === starts)
        .map(({ status }) => status)
      return {
        mounted: statuses.filter(status => status === 201).length,
        sent: statuses.filter(status => status === 202).length,
      }
    }
    await expect.poll(seen, { timeout: 10_000 }).toEqual(expected) // the log comes a little after the answer
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync()
  }
}

/** A registry has all of it under these names, byte for byte, as a plain client sees it. */
export async function expectServed(registry: Registry, name: string, bundle: Bundle): Promise<void> {
  const [repository, tag = bundle.root.digest] = name.split(':')
  const base = `http://${registry.address}/v2/${registry.namespace}${repository}`
  const expectSame = async (path: string, { bytes, mediaType, digest }: Content) => {
    const response = await fetch(`${base}/${path}`, { headers: { accept: mediaType } })
    expect([path, response.status]).toEqual([path, 200])
    expect(digestOf(Buffer.from(await response.arrayBuffer()))).toBe(digest)
    expect(response.headers.get('content-length')).toBe(String(bytes.length))
    return response
  }
  for (const manifest of [bundle.root, ...bundle.manifests]) {
    const path = `manifests/${manifest === bundle.root ? tag : manifest.digest}`
    const response = await expectSame(path, manifest)
    expect(response.headers.get('content-type')).toBe(manifest.mediaType)
  }
  for (const blob of bundle.blobs) await expectSame(`blobs/${blob.digest}`, blob)
}

/** The descriptors of what refers to a manifest. */
export async function referrersOf({ address, namespace }: Registry, repository: string, { digest }: Content) {
  const response = await fetch(`http://${address}/v2/${namespace}${repository}/referrers/${digest}`)
  expect(response.headers.get('content-type')).toBe(mediaTypes.ociIndex)
  const { manifests } = (await response.json()) as { manifests: { digest: string; artifactType: string }[] }
  return manifests
}

/** The digests of an OCI layout's files, each checked against its content. */
export async function layoutDigests(layout: string): Promise<string[]> {
  const folder = join(layout, 'blobs', 'sha256')
  const names = await readdir(folder)
  for (const name of names) expect(digestOf(await readFile(join(folder, name)))).toBe(`sha256:${name}`)
  return names.map(name => `sha256:${name}`).toSorted()
}
