/** Fills a registry over its own API, without any client: what a test starts from. */
import type { Bundle, Content } from './image.ts'
import type { Registry } from './origin.ts'

/** @param name `repository:tag` within the registry's namespace, or `repository` alone to leave it untagged */
export async function publish({ address, namespace }: Registry, name: string, bundle: Bundle): Promise<void> {
  const { root, manifests, blobs } = bundle
  const [repository, tag = root.digest] = name.split(':')
  const base = `http://${address}/v2/${namespace}${repository}`
  for (const blob of blobs) await putBlob(base, blob)
  for (const manifest of manifests) await putManifest(base, manifest.digest, manifest)
  await putManifest(base, tag, root)
}

async function putBlob(base: string, { digest, bytes }: Content): Promise<void> {
  const session = await send('POST', `${base}/blobs/uploads/`, 202)
  const location = new URL(session.headers.get('location') ?? '', session.url)
  location.searchParams.set('digest', digest)
  await send('PUT', location.href, 201, { mediaType: 'application/octet-stream', bytes })
}

async function putManifest(base: string, reference: string, manifest: Content): Promise<void> {
  await send('PUT', `${base}/manifests/${reference}`, 201, manifest)
}

async function send(
  method: string,
  url: string,
  expected: number,
  body?: Pick<Content, 'mediaType' | 'bytes'>,
) {
  const payload = body && { body: Uint8Array.from(body.bytes), headers: { 'content-type': body.mediaType } }
  const response = await fetch(url, { method, ...payload })
  const text = await response.text()
  if (response.status !== expected) throw new Error(`${method} ${url}: ${response.status} ${text}`)
  return response
}
