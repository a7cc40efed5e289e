/** A whole site for one test: an origin with content, a Layover in front of it, and a folder for the client. */
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFailed } from 'vitest'
import { digestOf } from '../../src/oci/digest.ts'
import { type Image, multiArchImage } from './image.ts'
import { Layover } from './layover.ts'
import { Origin, type Registry } from './origin.ts'

/** One visit of a client that has nothing yet: what it got, in a form that names no address. */
export type Visit = (registry: Registry, home: string) => Promise<unknown>

export const repository = 'team/app'
export const tag = '1.0'

export class Site implements AsyncDisposable {
  readonly image: Image = multiArchImage()
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
    await origin.push(repository, tag, site.image)
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
    const { digest } = this.image.index
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

/** The digests of an OCI layout's files, each checked against its content. */
export async function layoutDigests(layout: string): Promise<string[]> {
  const folder = join(layout, 'blobs', 'sha256')
  const names = await readdir(folder)
  for (const name of names) expect(digestOf(await readFile(join(folder, name)))).toBe(`sha256:${name}`)
  return names.map(name => `sha256:${name}`).toSorted()
}
