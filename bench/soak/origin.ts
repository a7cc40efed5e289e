/** The upstream of a soak, as a process of its own: tags move to new versions, what was published stays. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { answerCalls } from '../child.ts'
import { Content, type ContentSpec, MiB } from '../content.ts'
import { Catalogue, type Manifest } from './catalogue.ts'

/** What upstream was asked for and gave, since the last look. */
export interface Given {
  /** GETs of manifests and blobs. */
  objects: number
  bytes: number
}

let catalogue = new Catalogue({ seed: 0, bytes: 0 })
const manifests = new Map<string, Manifest>()
const blobs = new Map<string, ContentSpec>()
const versions: number[] = []
let given: Given = { objects: 0, bytes: 0 }

export const calls = {
  /** Resolves with the port. */
  async start(options: { seed: number; bytes: number }): Promise<number> {
    catalogue = new Catalogue(options)
    for (let image = 0; image < catalogue.count; image += 1) publish(image, 1)
    const server = createServer({ keepAliveTimeout: 300_000 }, (request, response) => {
      answer(request, response).catch(() => response.destroy()) // the reader left
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  },

  /** The tag moves to the next version; resolves with it. */
  supersede(image: number): number {
    const version = (versions[image] ?? 0) + 1
    publish(image, version)
    return version
  },

  take(): Given {
    const taken = given
    given = { objects: 0, bytes: 0 }
    return taken
  },
}

answerCalls(calls)

function publish(image: number, version: number): void {
  const manifest = catalogue.manifest(image, version)
  manifests.set(manifest.digest, manifest).set(`${catalogue.nameOf(image)}:latest`, manifest)
  for (const [digest, spec] of manifest.blobs) blobs.set(digest, spec)
  versions[image] = version
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { method, url = '/', headers } = request
  const [, name = '', kind, reference = ''] = /^\/v2\/(.+)\/(manifests|blobs|tags)\/([^/?]+)/.exec(url) ?? []
  if (url === '/v2/') return void response.end('{}')
  if (kind === 'tags') return void response.end(JSON.stringify({ name, tags: ['latest'] }))
  if (method === 'GET') given.objects += 1
  const manifest = manifests.get(reference) ?? manifests.get(`${name}:${reference}`)
  const spec = blobs.get(reference)
  if (kind === 'manifests' && manifest) return sendManifest(method, response, manifest)
  if (kind === 'blobs' && spec)
    return sendBlob({ method, range: headers.range }, response, { digest: reference, spec })
  response.writeHead(404, { 'content-type': 'application/json' })
  response.end(JSON.stringify({ errors: [{ code: 'NAME_UNKNOWN', message: 'no such thing' }] }))
}

function sendManifest(
  method: string | undefined,
  response: ServerResponse,
  { digest, body }: Manifest,
): void {
  response.writeHead(200, {
    'content-type': 'application/vnd.oci.image.manifest.v1+json',
    'content-length': Buffer.byteLength(body),
    'docker-content-digest': digest,
  })
  if (method === 'HEAD') return void response.end()
  given.bytes += Buffer.byteLength(body)
  response.end(body)
}

async function sendBlob(
  { method, range }: { method: string | undefined; range: string | undefined },
  response: ServerResponse,
  { digest, spec }: { digest: string; spec: ContentSpec },
): Promise<void> {
  const content = new Content(spec)
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(range ?? '') ?? []
  const first = Number(from ?? 0)
  const end = to ? Math.min(spec.size, Number(to) + 1) : spec.size
  response.writeHead(from === undefined ? 200 : 206, {
    'content-type': 'application/octet-stream',
    'content-length': end - first,
    'docker-content-digest': digest,
    etag: `"${digest}"`,
    ...(from === undefined ? {} : { 'content-range': `bytes ${first}-${end - 1}/${spec.size}` }),
  })
  if (method === 'HEAD') return void response.end()
  const left = new AbortController()
  response.on('close', () => left.abort())
  for (let position = first; position < end && !response.destroyed; ) {
    const bytes = content.at(position, Math.min(end - position, MiB))
    given.bytes += bytes.length
    if (!response.write(bytes)) await once(response, 'drain', { signal: left.signal })
    position += bytes.length
  }
  response.end()
}
