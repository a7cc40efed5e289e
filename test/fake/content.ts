/** Images, indexes, artifacts and charts that are the same in every run, as registries hold them. */
import { type Algorithm, type Digest, digestOf } from '../../src/oci/digest.ts'
import { mediaTypes } from '../../src/oci/media-type.ts'
import { blobOf, type StoredBlob, seededBlob } from './bytes.ts'

export interface StoredManifest {
  readonly digest: Digest
  readonly mediaType: string
  readonly body: Buffer
}

/** What one push brings: a root manifest with everything it lists. */
export interface Bundle {
  readonly root: StoredManifest
  readonly digest: Digest
  /** All manifests, the root last. */
  readonly manifests: readonly StoredManifest[]
  readonly blobs: readonly StoredBlob[]
  /** Platform of an image, for the index that lists it. */
  readonly platform?: Platform
}

export interface Platform {
  os: string
  architecture: string
  variant?: string
}

export interface ImageOptions {
  /** Sizes in bytes. */
  layers?: readonly number[]
  platform?: Platform
  format?: 'oci' | 'docker'
  algorithm?: Algorithm
  /** Bytes of annotation that make the manifest large. */
  padding?: number
  /** URLs of the first layer, as old Windows base layers have them. */
  foreignUrls?: readonly string[]
  annotations?: Record<string, string>
}

export const amd64: Platform = { os: 'linux', architecture: 'amd64' }
export const arm64: Platform = { os: 'linux', architecture: 'arm64' }
const unknownPlatform: Platform = { os: 'unknown', architecture: 'unknown' }

const types = {
  oci: {
    manifest: mediaTypes.ociManifest,
    index: mediaTypes.ociIndex,
    config: 'application/vnd.oci.image.config.v1+json',
    layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
  },
  docker: {
    manifest: mediaTypes.dockerManifest,
    index: mediaTypes.dockerList,
    config: 'application/vnd.docker.container.image.v1+json',
    layer: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  },
} as const

export const emptyConfig = blobOf('{}')
export const emptyBlob = blobOf('')
const emptyConfigType = 'application/vnd.oci.empty.v1+json'

/** One platform's image. */
export function image(seed: string, options: ImageOptions = {}): Bundle {
  const { layers = [2_048, 70_000], platform = amd64, format = 'oci', algorithm = 'sha256' } = options
  const type = types[format]
  const blobs = layers.map((size, at) => seededBlob(`${seed}/layer/${at}`, size, algorithm))
  const rootfs = { type: 'layers', diff_ids: blobs.map(blob => blob.digest) }
  const config = blobOf(JSON.stringify({ ...platform, config: { Labels: { seed } }, rootfs }), algorithm)
  const annotations = {
    ...options.annotations,
    ...(options.padding ? { padding: 'x'.repeat(options.padding) } : {}),
  }
  const root = manifest(
    {
      schemaVersion: 2,
      mediaType: type.manifest,
      config: descriptor(type.config, config),
      layers: blobs.map((blob, at) => ({
        ...descriptor(type.layer, blob),
        ...(at === 0 && options.foreignUrls ? { urls: options.foreignUrls } : {}),
      })),
      ...(Object.keys(annotations).length > 0 ? { annotations } : {}),
    },
    algorithm,
  )
  return { ...single(root, [config, ...blobs]), platform }
}

/** A multi-platform index: amd64, arm64 and the attestation that BuildKit adds. */
export function multiArch(seed: string, options: Omit<ImageOptions, 'platform'> = {}): Bundle {
  const children = [amd64, arm64].map(platform =>
    image(`${seed}/${platform.architecture}`, { ...options, platform }),
  )
  const [first] = children
  const attested = options.format === 'docker' || first === undefined ? [] : [attestation(seed, first)]
  return index([...children, ...attested], options)
}

/** An index over given images. */
export function index(
  children: readonly Bundle[],
  { format = 'oci', algorithm = 'sha256' }: Pick<ImageOptions, 'format' | 'algorithm'> = {},
): Bundle {
  const root = manifest(
    {
      schemaVersion: 2,
      mediaType: types[format].index,
      manifests: children.map(child => ({
        ...manifestDescriptor(child.root),
        ...(child.platform ? { platform: child.platform } : {}),
      })),
    },
    algorithm,
  )
  return {
    root,
    digest: root.digest,
    manifests: [...children.flatMap(child => child.manifests), root],
    blobs: children.flatMap(child => child.blobs),
  }
}

function attestation(seed: string, subject: Bundle): Bundle {
  const statement = blobOf(JSON.stringify({ predicateType: 'https://slsa.dev/provenance/v1', seed }))
  const config = blobOf(JSON.stringify({ ...unknownPlatform, rootfs: { type: 'layers', diff_ids: [] } }))
  const root = manifest({
    schemaVersion: 2,
    mediaType: types.oci.manifest,
    config: descriptor(types.oci.config, config),
    layers: [descriptor('application/vnd.in-toto+json', statement)],
    annotations: { 'vnd.docker.reference.digest': subject.digest },
  })
  return { ...single(root, [config, statement]), platform: unknownPlatform }
}

/** An artifact that refers to another manifest: a signature, an SBOM. */
export function artifact(
  seed: string,
  {
    subject,
    artifactType = 'application/spdx+json',
  }: { subject?: StoredManifest; artifactType?: string } = {},
): Bundle {
  const payload = blobOf(JSON.stringify({ seed }))
  const root = manifest({
    schemaVersion: 2,
    mediaType: types.oci.manifest,
    artifactType,
    config: descriptor(emptyConfigType, emptyConfig),
    layers: [descriptor(artifactType, payload)],
    ...(subject ? { subject: manifestDescriptor(subject) } : {}),
    annotations: { 'org.opencontainers.image.title': seed },
  })
  return single(root, [emptyConfig, payload])
}

/** A Helm chart as `helm push` stores it. */
export function chart(name: string, version: string): Bundle {
  const config = blobOf(JSON.stringify({ apiVersion: 'v2', name, version }))
  const archive = seededBlob(`chart/${name}/${version}`, 4_096)
  const root = manifest({
    schemaVersion: 2,
    mediaType: types.oci.manifest,
    config: descriptor('application/vnd.cncf.helm.config.v1+json', config),
    layers: [descriptor('application/vnd.cncf.helm.chart.content.v1.tar+gzip', archive)],
  })
  return single(root, [config, archive])
}

/** An artifact over given blobs: a blob of 0 bytes, a layer of 1 GiB. */
export function artifactOf(blobs: readonly StoredBlob[], algorithm: Algorithm = 'sha256'): Bundle {
  const root = manifest(
    {
      schemaVersion: 2,
      mediaType: types.oci.manifest,
      artifactType: 'application/vnd.example.data',
      config: descriptor(emptyConfigType, emptyConfig),
      layers: blobs.map(blob => descriptor('application/octet-stream', blob)),
    },
    algorithm,
  )
  return single(root, [emptyConfig, ...blobs])
}

/** Docker's old signed format, which nothing should accept. */
export function schema1(seed: string): Bundle {
  const mediaType = 'application/vnd.docker.distribution.manifest.v1+prettyjws'
  const root = raw(
    JSON.stringify({ schemaVersion: 1, name: seed, tag: 'latest', fsLayers: [], history: [] }),
    mediaType,
  )
  return single(root)
}

/** A manifest with its blobs, to be put under a tag. */
export function single(root: StoredManifest, blobs: readonly StoredBlob[] = []): Bundle {
  return { root, digest: root.digest, manifests: [root], blobs }
}

/** Any bytes as a manifest: nesting bombs, broken JSON, other media types. */
export function raw(
  body: Buffer | string,
  mediaType: string,
  algorithm: Algorithm = 'sha256',
): StoredManifest {
  const bytes = Buffer.from(body)
  return { digest: digestOf(bytes, algorithm), mediaType, body: bytes }
}

function manifest(
  json: { mediaType: string; [field: string]: unknown },
  algorithm: Algorithm = 'sha256',
): StoredManifest {
  return raw(JSON.stringify(json, null, 2), json.mediaType, algorithm)
}

function manifestDescriptor({ mediaType, digest, body }: StoredManifest) {
  return { mediaType, digest, size: body.length }
}

function descriptor(mediaType: string, { digest, size }: StoredBlob) {
  return { mediaType, digest, size }
}
