/** From a request's path to what it asks for. Paths are read from their right end: a name may contain `manifests` or `blobs`. */
import { RegistryError } from '../oci/errors.ts'

/** An operation of the distribution API; `name` is as the client wrote it, its grammar not yet checked. */
export type Operation =
  | { readonly kind: 'ping' }
  | { readonly kind: 'manifest'; readonly name: string; readonly reference: string }
  | { readonly kind: 'blob'; readonly name: string; readonly digest: string }
  | { readonly kind: 'uploads'; readonly name: string; readonly session: string | undefined }
  | { readonly kind: 'tags'; readonly name: string }
  | { readonly kind: 'referrers'; readonly name: string; readonly subject: string }
  | InventoryOperation

/** What is asked of the registry as a whole, or beyond the distribution API. */
export type InventoryOperation =
  | { readonly kind: 'catalog' }
  | { readonly kind: 'discover'; readonly name: string | undefined }
  | ExtensionOperation

/** Below `_ext/`. */
export type ExtensionOperation =
  | { readonly kind: 'extension'; readonly what: 'repositories' }
  | { readonly kind: 'extension'; readonly what: 'namespaces'; readonly repository: string }
  | { readonly kind: 'extension'; readonly what: 'revisions' | 'uploads'; readonly name: string }

export interface Route {
  /** A registry in front of `/v2/`, or in its place (`/docker.io/library/alpine/manifests/…`, a common slip). */
  readonly prefix: string | undefined
  /** What stands before the name, to build links of the same form. */
  readonly base: string
  readonly operation: Operation
}

/** Longer paths can hold no valid name. */
const maxPathLength = 2048

/**
 * Undefined for a path that is none of the distribution API's.
 *
 * @param isRegistry whether a first component names a configured registry
 * @throws RegistryError NAME_INVALID (400) for tricks with encoded slashes, `..` and empty components,
 *   NAME_UNKNOWN (404) for a path below `/v2/` that names no operation
 */
export function parseRoute(path: string, isRegistry: (name: string) => boolean): Route | undefined {
  if (path === '/v2' || path.startsWith('/v2/')) return apiRoute(undefined, '/v2/', path.slice('/v2/'.length))
  const [, prefix = '', rest = ''] = /^\/([^/]{1,255})\/(.*)$/.exec(path) ?? []
  const registry = decodeOnce(prefix)
  if (registry === undefined || !isRegistry(registry)) return undefined
  if (rest === 'v2' || rest.startsWith('v2/'))
    return apiRoute(registry, `/${prefix}/v2/`, rest.slice('v2/'.length))
  const operation = parseOperation(rest)
  return (
    operation && {
      prefix: registry,
      base: `/${prefix}/`,
      operation: parseOperation(decodeRest(rest)) ?? operation,
    }
  )
}

function apiRoute(prefix: string | undefined, base: string, encoded: string): Route {
  const operation: Operation | undefined =
    encoded === '' ? { kind: 'ping' } : parseOperation(decodeRest(encoded))
  if (operation) return { prefix, base, operation }
  throw new RegistryError('NAME_UNKNOWN', 'the path names no operation of the distribution API')
}

function decodeRest(encoded: string): string {
  const decoded = encoded.length <= maxPathLength ? decodeOnce(encoded) : undefined
  if (decoded === undefined || /%2f|%5c/i.test(encoded) || hasOddComponent(decoded)) {
    throw new RegistryError(
      'NAME_INVALID',
      'the path holds an encoded slash, an empty or dotted component, or is too long',
    )
  }
  return decoded
}

function decodeOnce(encoded: string): string | undefined {
  try {
    return decodeURIComponent(encoded)
  } catch {
    return undefined // no UTF-8
  }
}

/** A trailing slash is one of the upload API's own. */
function hasOddComponent(path: string): boolean {
  return /(?:^|\/)(?:\.{0,2})(?:\/|$)/.test(path.endsWith('/') ? path.slice(0, -1) : path)
}

function parseOperation(path: string): Operation | undefined {
  if (path === '_catalog') return { kind: 'catalog' }
  if (path.startsWith('_ext/')) return parseExtension(path.slice('_ext/'.length))
  const [, name = '', what, id = ''] = /^(.+)\/(manifests|blobs|referrers)\/([^/]+)$/.exec(path) ?? []
  if (what === 'manifests') return { kind: 'manifest', name, reference: id }
  if (what === 'blobs' && id !== 'uploads') return { kind: 'blob', name, digest: id }
  if (what === 'referrers') return { kind: 'referrers', name, subject: id }
  const discover = /^(?:(.+)\/)?_oci\/ext\/discover$/.exec(path)
  if (discover) return { kind: 'discover', name: discover[1] }
  const tags = /^(.+)\/tags\/list$/.exec(path)
  if (tags) return { kind: 'tags', name: tags[1] ?? '' }
  const uploads = /^(.+)\/blobs\/uploads(?:\/([^/]*))?$/.exec(path)
  if (uploads) return { kind: 'uploads', name: uploads[1] ?? '', session: uploads[2] || undefined }
  return undefined
}

function parseExtension(path: string): ExtensionOperation | undefined {
  if (path === '_repositories') return { kind: 'extension', what: 'repositories' }
  const [, name = '', what] = /^(.+)\/_(namespaces|revisions|uploads)$/.exec(path) ?? []
  if (what === 'namespaces') return { kind: 'extension', what, repository: name }
  if (what === 'revisions' || what === 'uploads') return { kind: 'extension', what, name }
  return undefined
}
