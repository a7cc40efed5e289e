/** A small multi-arch image and what refers to it, the same bytes in every run, with real layers that a client can unpack. */
import { createCipheriv, createHash } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { mediaTypes } from '../../src/oci/media-type.ts'

export interface Content {
  readonly mediaType: string
  readonly bytes: Buffer
  readonly digest: Digest
}

/** What one push brings. */
export interface Bundle {
  readonly root: Content
  /** Beneath the root. */
  readonly manifests: readonly Content[]
  readonly blobs: readonly Content[]
}

const layerType = 'application/vnd.oci.image.layer.v1.tar+gzip'
const configType = 'application/vnd.oci.image.config.v1+json'

/** Two platforms that share one layer and have one of their own each. */
export function multiArchImage(): Bundle {
  const shared = layer('etc/shared', 64 * 1024)
  const platforms = [
    platformImage('amd64', [shared, layer('usr/lib/amd64', 6 * 1024 * 1024)]),
    platformImage('arm64', [shared, layer('usr/lib/arm64', 1024 * 1024)]),
  ]
  const root = json(mediaTypes.ociIndex, {
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    manifests: platforms.map(({ manifest, architecture }) => ({
      ...descriptor(manifest),
      platform: { os: 'linux', architecture },
    })),
  })
  return {
    root,
    manifests: platforms.map(({ manifest }) => manifest),
    blobs: [...new Map(platforms.flatMap(({ blobs }) => blobs).map(blob => [blob.digest, blob])).values()],
  }
}

/** An artifact that refers to another manifest, as a signature does. */
export function signatureOf(subject: Content): Bundle {
  const config = json('application/vnd.oci.empty.v1+json', {})
  const payload = json('application/vnd.example.signature.v1+json', { signs: subject.digest })
  const root = json(mediaTypes.ociManifest, {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    artifactType: payload.mediaType,
    config: descriptor(config),
    layers: [descriptor(payload)],
    subject: descriptor(subject),
  })
  return { root, manifests: [], blobs: [config, payload] }
}

/** Every digest of it, in order. */
export function digestsOf({ root, manifests, blobs }: Bundle): Digest[] {
  return [root, ...manifests, ...blobs].map(({ digest }) => digest).toSorted()
}

interface Layer {
  readonly blob: Content
  readonly diffId: Digest
}

function platformImage(architecture: string, layers: readonly Layer[]) {
  const config = json(configType, {
    architecture,
    os: 'linux',
    config: { Cmd: ['/bin/true'] },
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
  })
  const manifest = json(mediaTypes.ociManifest, {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: descriptor(config),
    layers: layers.map(({ blob }) => descriptor(blob)),
  })
  return { architecture, manifest, blobs: [config, ...layers.map(({ blob }) => blob)] }
}

/** One file of noise. */
function tarOf(name: string, sizeBytes: number): Buffer {
  return Buffer.concat([tarEntry(name, noise(name, sizeBytes)), Buffer.alloc(1024)])
}

export function tarGzip(name: string, sizeBytes: number): Buffer {
  return gzipSync(tarOf(name, sizeBytes), { level: 1 })
}

function layer(name: string, sizeBytes: number): Layer {
  const tar = tarOf(name, sizeBytes)
  const bytes = gzipSync(tar, { level: 1 })
  return { blob: { mediaType: layerType, bytes, digest: digestOf(bytes) }, diffId: digestOf(tar) }
}

export function json(mediaType: string, value: object): Content {
  const bytes = Buffer.from(JSON.stringify(value))
  return { mediaType, bytes, digest: digestOf(bytes) }
}

export function descriptor({ mediaType, bytes, digest }: Content) {
  return { mediaType, digest, size: bytes.length }
}

/** Bytes that no compressor shortens, made from a seed. */
function noise(seed: string, sizeBytes: number): Buffer {
  const key = createHash('sha256').update(seed).digest().subarray(0, 16)
  return createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(sizeBytes))
}

/** One regular file in the ustar format. */
function tarEntry(name: string, data: Buffer): Buffer {
  const header = Buffer.alloc(512)
  const field = (at: number, text: string) => header.write(text, at, 'latin1')
  field(0, name)
  field(100, '0000644\0') // mode
  field(108, '0000000\0') // owner
  field(116, '0000000\0') // group
  field(124, `${data.length.toString(8).padStart(11, '0')}\0`)
  field(136, '00000000000\0') // modified
  field(148, '        ') // the checksum counts itself as blanks
  field(156, '0') // a regular file
  field(257, 'ustar\x0000')
  const checksum = header.reduce((sum, byte) => sum + byte, 0)
  field(148, `${checksum.toString(8).padStart(6, '0')}\0 `)
  return Buffer.concat([header, data, Buffer.alloc((512 - (data.length % 512)) % 512)])
}
