/** A request for each operation there is, for what has to hold of all of them. */
import type { Action } from '../../../src/access/question.ts'
import type { ExtensionOperation, Operation } from '../../../src/edge/route.ts'
import { digestOf } from '../../../src/oci/digest.ts'

export interface Sample {
  readonly method: string
  readonly path: string
  /** What has to be allowed; undefined: a login is enough. */
  readonly action: Action | undefined
  readonly body?: Buffer
  readonly contentType?: string
}

type Kind = Exclude<Operation['kind'], 'extension'> | `extension ${ExtensionOperation['what']}`

const blob = Buffer.from('a layer')
const manifest = Buffer.from(
  JSON.stringify({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: digestOf(blob), size: blob.length },
    layers: [],
  }),
)
const contentType = 'application/vnd.oci.image.manifest.v1+json'
const session = '00000000-0000-4000-8000-000000000000'

const read = (path: string, action: Action = 'pull'): Sample[] =>
  ['GET', 'HEAD'].map(method => ({ method, path, action }))

/** A kind that is missing here does not compile. */
function samplesOf(name: string): Record<Kind, readonly Sample[]> {
  const base = `/v2/${name}`
  const upload = `${base}/blobs/uploads/${session}`
  return {
    ping: ['GET', 'HEAD'].map(method => ({ method, path: '/v2/', action: undefined })),
    manifest: [
      ...read(`${base}/manifests/latest`),
      ...read(`${base}/manifests/${digestOf(manifest)}`),
      { method: 'PUT', path: `${base}/manifests/latest`, action: 'push', body: manifest, contentType },
      {
        method: 'PUT',
        path: `${base}/manifests/${digestOf(manifest)}?tag=one&tag=two`,
        action: 'push',
        body: manifest,
        contentType,
      },
      { method: 'DELETE', path: `${base}/manifests/gone`, action: 'delete' },
    ],
    blob: [
      ...read(`${base}/blobs/${digestOf(blob)}`),
      { method: 'DELETE', path: `${base}/blobs/${digestOf(Buffer.from('gone'))}`, action: 'delete' },
    ],
    uploads: [
      { method: 'POST', path: `${base}/blobs/uploads/`, action: 'push' },
      { method: 'POST', path: `${base}/blobs/uploads/?digest=${digestOf(blob)}`, action: 'push', body: blob },
      {
        method: 'POST',
        path: `${base}/blobs/uploads/?mount=${digestOf(blob)}&from=local/other`,
        action: 'push',
      },
      { method: 'POST', path: `${base}/blobs/uploads/?mount=${digestOf(blob)}`, action: 'push' },
      ...['GET', 'HEAD', 'DELETE'].map(method => ({ method, path: upload, action: 'push' as const })),
      { method: 'PATCH', path: upload, action: 'push', body: blob },
      { method: 'PUT', path: `${upload}?digest=${digestOf(blob)}`, action: 'push' },
    ],
    tags: read(`${base}/tags/list`),
    referrers: read(`${base}/referrers/${digestOf(manifest)}`),
    catalog: read('/v2/_catalog', 'catalog'),
    discover: [...read('/v2/_oci/ext/discover', 'catalog'), ...read(`${base}/_oci/ext/discover`)],
    'extension repositories': read('/v2/_ext/_repositories', 'catalog'),
    'extension namespaces': read('/v2/_ext/local/_namespaces', 'catalog'),
    'extension revisions': read(`/v2/_ext/${name}/_revisions`),
    'extension uploads': read(`/v2/_ext/${name}/_uploads`),
  }
}

export function samples(name: string): readonly Sample[] {
  return Object.values(samplesOf(name)).flat()
}
