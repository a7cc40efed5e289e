/** What every server of a comparison holds: one manifest of 4 KiB under one tag, and blobs of the sizes that are wanted. */
import { createHash } from 'node:crypto'
import { linkSync, mkdirSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Content, type ContentSpec, MiB } from '../content.ts'
import type { Server } from '../server.ts'
import type { Site } from '../site.ts'

export const manifestType = 'application/vnd.oci.image.manifest.v1+json'
/** Registries refuse a manifest whose type is not among those accepted. */
export const accept = { Accept: `${manifestType}, application/vnd.oci.image.index.v1+json, */*` }
const manifestBytes = 4096
const configBytes = 4096
const pushers = 4
const connections = 4

export interface ShelvedManifest {
  tag: string
  digest: string
  body: Buffer
}

export interface ShelvedBlob {
  spec: ContentSpec
  digest: string
}

/** What one repository holds. */
export interface Shelf {
  repository: string
  blobs: readonly ShelvedBlob[]
  manifests: readonly ShelvedManifest[]
}

/** @param sizes of the blobs besides one of 4 KiB, which is there always */
export function makeShelf(sizes: readonly number[]): Shelf {
  const blobs = [configBytes, ...sizes].map(size => shelvedBlob({ seed: 1, size }))
  const [config] = blobs
  const manifest = shelvedManifest('kept', config ? { config, layers: [] } : undefined)
  return { repository: 'local/bench', blobs, manifests: [manifest] }
}

export function shelvedBlob(spec: ContentSpec): ShelvedBlob {
  return { spec, digest: `sha256:${new Content(spec).sha256}` }
}

interface Image {
  config: ShelvedBlob
  layers: readonly ShelvedBlob[]
}

/** Filled up to 4 KiB, which is about what image indexes and manifests of many layers have. */
export function shelvedManifest(tag: string, image: Image | undefined): ShelvedManifest {
  const describe = (mediaType: string, { spec, digest }: ShelvedBlob) => ({
    mediaType,
    digest,
    size: spec.size,
  })
  const text = (filling: string) =>
    JSON.stringify({
      schemaVersion: 2,
      mediaType: manifestType,
      config: image && describe('application/vnd.oci.image.config.v1+json', image.config),
      layers: image?.layers.map(layer => describe('application/vnd.oci.image.layer.v1.tar+gzip', layer)),
      annotations: { 'test.bench.tag': tag, 'test.bench.filling': filling },
    })
  const body = Buffer.from(text('x'.repeat(Math.max(0, manifestBytes - text('').length))))
  return { tag, body, digest: `sha256:${createHash('sha256').update(body).digest('hex')}` }
}

/** Throws unless everything was taken. */
export async function pushShelf(site: Site, { url }: Server, shelf: Shelf): Promise<void> {
  const { repository, blobs, manifests } = shelf
  const specs = blobs.map(({ spec }) => spec)
  const { pushes } = await site.client.call('push', {
    url,
    repository,
    specs,
    clients: pushers,
    way: 'session',
  })
  const refused = pushes.find(({ status }) => status !== 201)
  if (refused) throw new Error(`a blob was refused with ${refused.status}`)
  const puts = manifests.map(({ tag, body }) => ({
    path: `/v2/${repository}/manifests/${tag}`,
    body,
    contentType: manifestType,
  }))
  const { right } = await site.client.call('putMany', { url, puts, connections })
  if (right !== puts.length)
    throw new Error(`${puts.length - right} of ${puts.length} manifests were refused`)
}

/** The same as files below a folder, under the paths that a registry has for them. */
export async function writeShelf(root: string, { repository, blobs, manifests }: Shelf): Promise<void> {
  const folder = join(root, 'v2', repository)
  mkdirSync(join(folder, 'blobs'), { recursive: true })
  mkdirSync(join(folder, 'manifests'), { recursive: true })
  for (const { spec, digest } of blobs) await writeBlob(join(folder, 'blobs', digest), spec)
  for (const { tag, digest, body } of manifests) {
    writeFileSync(join(folder, 'manifests', digest), body)
    linkSync(join(folder, 'manifests', digest), join(folder, 'manifests', tag))
  }
}

async function writeBlob(path: string, spec: ContentSpec): Promise<void> {
  mkdirSync(dirname(path), { recursive: true })
  await using file = await open(path, 'w')
  const content = new Content(spec)
  for (let position = 0; position < spec.size; position += MiB) await file.write(content.at(position, MiB))
}
