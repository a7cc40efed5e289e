/** What pulls have in common: reading manifests, checking digests, and the result that every emulator returns. */
import { createHash, type Hash } from 'node:crypto'
import { type Body, BodyCut, ClientError, type SentRequest } from './http.ts'

export interface Descriptor {
  mediaType: string
  digest: string
  size: number
  platform?: { os: string; architecture: string }
}

export interface FetchedManifest {
  body: Buffer
  mediaType: string
  digest: string
  /** The `Warning` headers that came with it. */
  warnings: string[]
}

export interface PulledBlob {
  digest: string
  size: number
  /** Only of blobs up to 16 MiB. */
  bytes: Buffer | undefined
}

export interface Pull {
  /** Base URL of the host that gave the last object. */
  host: string
  /** The manifest that the reference named. */
  manifest: Buffer
  mediaType: string
  digest: string
  /** Every object, the root first, then in the order they ended. */
  digests: string[]
  blobs: Map<string, PulledBlob>
  warnings: string[]
  requests: readonly SentRequest[]
}

/** Gives the objects below a root manifest. */
export interface ObjectSource {
  manifest(descriptor: Descriptor): Promise<FetchedManifest>
  blob(descriptor: Descriptor): Promise<PulledBlob>
  /** Blobs at a time. */
  parallel: number
}

const keptBytes = 16 * 1024 * 1024

/** Checks a blob while it comes, as every client does before it keeps one. */
export class BlobSink {
  size = 0
  readonly #descriptor: Descriptor
  readonly #hash: Hash
  #chunks: Buffer[] | undefined = []

  constructor(descriptor: Descriptor) {
    this.#descriptor = descriptor
    this.#hash = createHash(descriptor.digest.split(':', 1)[0] ?? 'sha256')
  }

  write(chunk: Buffer): void {
    this.size += chunk.length
    this.#hash.update(chunk)
    if (this.size > keptBytes) this.#chunks = undefined
    this.#chunks?.push(chunk)
  }

  /** Takes all that comes; a connection that ends early is the caller's to judge. */
  async take(body: Body): Promise<BodyCut | undefined> {
    try {
      for await (const chunk of body) this.write(chunk)
      return undefined
    } catch (error) {
      if (error instanceof BodyCut) return error
      throw error
    }
  }

  finish(): PulledBlob {
    const { digest, size } = this.#descriptor
    if (this.size !== size) {
      throw new ClientError(`failed size validation: ${this.size} != ${size}: failed precondition`)
    }
    const actual = `${digest.split(':', 1)[0]}:${this.#hash.digest('hex')}`
    if (actual !== digest) throw new ClientError(`unexpected commit digest ${actual}, expected ${digest}`)
    return { digest, size, bytes: this.#chunks && Buffer.concat(this.#chunks) }
  }
}

export function verified(manifest: FetchedManifest): FetchedManifest {
  const [algorithm = 'sha256'] = manifest.digest.split(':', 1)
  const actual = `${algorithm}:${createHash(algorithm).update(manifest.body).digest('hex')}`
  if (actual === manifest.digest) return manifest
  throw new ClientError(`manifest verification failed for digest ${manifest.digest}: got ${actual}`)
}

/** Fetches what a root manifest leads to, for one platform. */
export async function pullTree(
  root: FetchedManifest,
  source: ObjectSource,
  architecture = 'amd64',
): Promise<Omit<Pull, 'host' | 'requests'>> {
  const blobs = new Map<string, PulledBlob>()
  const digests = [root.digest]
  const warnings = [...root.warnings]
  let current = root
  for (let child = choose(current, architecture); child; child = choose(current, architecture)) {
    current = verified(await source.manifest(child))
    digests.push(current.digest)
    warnings.push(...current.warnings)
  }
  const waiting = blobsOf(current).filter(
    ({ digest }, at, all) => all.findIndex(b => b.digest === digest) === at,
  )
  const work = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      blobs.set(next.digest, await source.blob(next))
      digests.push(next.digest)
    }
  }
  await Promise.all(Array.from({ length: source.parallel }, work))
  return { manifest: root.body, mediaType: root.mediaType, digest: root.digest, digests, blobs, warnings }
}

interface ManifestFields {
  schemaVersion?: number
  manifests?: Descriptor[]
  config?: Descriptor
  layers?: Descriptor[]
}

/** The child that an index has for the platform; undefined for an image. */
function choose({ body, digest }: FetchedManifest, architecture: string): Descriptor | undefined {
  const { manifests } = read(body, digest)
  if (!manifests) return undefined
  const found = manifests.find(
    ({ platform }) => platform === undefined || platform.architecture === architecture,
  )
  if (found) return found
  throw new ClientError(`no match for platform linux/${architecture} in manifest ${digest}: not found`)
}

function blobsOf({ body, digest }: FetchedManifest): Descriptor[] {
  const { config, layers = [] } = read(body, digest)
  return [...(config ? [config] : []), ...layers]
}

function read(body: Buffer, digest: string): ManifestFields {
  const fields = JSON.parse(body.toString()) as ManifestFields
  if (fields.schemaVersion === 2) return fields
  throw new ClientError(`unsupported manifest ${digest}: schema ${fields.schemaVersion}`)
}

export function warningsOf(header: string | string[] | undefined): string[] {
  return header === undefined ? [] : [header].flat()
}
