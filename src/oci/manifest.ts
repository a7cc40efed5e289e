/** Reading manifests without changing them: their type, what they list, and the referrer they may be. */
import { type Digest, isDigest } from './digest.ts'
import { isManifestType, mediaTypes } from './media-type.ts'

export interface Descriptor {
  readonly mediaType: string
  readonly digest: Digest
  /** Bytes. */
  readonly size: number
  readonly artifactType?: string
  readonly annotations?: Readonly<Record<string, string>>
}

export interface ManifestView {
  /** The `mediaType` field, or the type inferred from the fields present. */
  readonly mediaType: string | undefined
  /** The `mediaType` field alone. */
  readonly declaredType: string | undefined
  readonly schemaVersion: unknown
  /** It has fields of an image and of an index, so that two readers could take it for different things. */
  readonly isAmbiguous: boolean
  readonly artifactType: string | undefined
  readonly subject: Descriptor | undefined
  readonly annotations: Readonly<Record<string, string>> | undefined
  /** Config and layers of an image, non-manifest children of an index. */
  readonly blobs: readonly Descriptor[]
  /** Child manifests of an index. */
  readonly manifests: readonly Descriptor[]
  /** What a registry has to hold so that it can be pulled whole: not what other hosts distribute, and not the subject. */
  readonly required: readonly Descriptor[]
}

/** A view of the body, or undefined when it is no JSON object. Unknown fields and odd descriptors are passed over. */
export function viewManifest(body: Uint8Array): ManifestView | undefined {
  const json = parseObject(body)
  if (json === undefined) return undefined
  const children = descriptors(json.manifests)
  const config = descriptor(json.config)
  const layers = [...descriptors(json.layers), ...descriptors(json.blobs)]
  const declaredType = text(json.mediaType)
  return {
    mediaType: declaredType ?? inferMediaType(json),
    declaredType,
    schemaVersion: json.schemaVersion,
    isAmbiguous: json.manifests !== undefined && (json.layers !== undefined || json.config !== undefined),
    artifactType: text(json.artifactType) ?? config?.mediaType,
    subject: descriptor(json.subject),
    annotations: stringMap(json.annotations),
    blobs: [
      ...(config ? [config] : []),
      ...layers,
      ...children.filter(child => !isManifestType(child.mediaType)),
    ],
    manifests: children.filter(child => isManifestType(child.mediaType)),
    required: [json.config, json.layers, json.blobs, json.manifests].flatMap(distributed),
  }
}

/** Descriptors of what is not to be had from elsewhere. */
function distributed(value: unknown): Descriptor[] {
  const here = (Array.isArray(value) ? value : [value]).filter(
    item => isObject(item) && !Array.isArray(item.urls) && !isForeign(text(item.mediaType)),
  )
  return descriptors(here)
}

/** Layers that a licence keeps out of registries. */
function isForeign(mediaType = ''): boolean {
  return mediaType.includes('.nondistributable.') || mediaType.includes('.foreign.')
}

/** Docker's signed schema 1 has no digest of its own bytes that clients agree on; containerd and we refuse it. */
export function isSchema1(body: Uint8Array): boolean {
  return parseObject(body)?.schemaVersion === 1
}

function parseObject(body: Uint8Array): Record<string, unknown> | undefined {
  try {
    const json: unknown = JSON.parse(
      Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8'),
    )
    return isObject(json) ? json : undefined
  } catch {
    return undefined // not JSON: the caller decides what that means
  }
}

function inferMediaType(json: Record<string, unknown>): string | undefined {
  if (Array.isArray(json.manifests)) return mediaTypes.ociIndex
  if (Array.isArray(json.layers) || isObject(json.config)) return mediaTypes.ociManifest
  return undefined
}

function descriptors(value: unknown): Descriptor[] {
  if (!Array.isArray(value)) return []
  return value.map(descriptor).filter(found => found !== undefined)
}

function descriptor(value: unknown): Descriptor | undefined {
  if (!isObject(value)) return undefined
  const digest = text(value.digest)
  const { size } = value
  if (digest === undefined || !isDigest(digest) || !isSize(size)) return undefined
  const artifactType = text(value.artifactType)
  const annotations = stringMap(value.annotations)
  return {
    mediaType: text(value.mediaType) ?? '',
    digest,
    size,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(annotations === undefined ? {} : { annotations }),
  }
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0
}

function stringMap(value: unknown): Record<string, string> | undefined {
  if (!isObject(value)) return undefined
  return Object.fromEntries(
    Object.entries(value).filter((pair): pair is [string, string] => typeof pair[1] === 'string'),
  )
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
