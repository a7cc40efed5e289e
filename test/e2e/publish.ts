/** Fills a registry over its own API, without any client: what a test starts from. */
import type { Bundle, Content } from './image.ts'
import type { Registry } from './origin.ts'

/** With a header, where it wants a login. */
export type Publishing = Registry & { readonly authorization?: string | undefined }

/** @param name `repository:tag` within the registry's namespace, or `repository` alone to leave it untagged */
export async function publish(
  { address, namespace, authorization }: Publishing,
  name: string,
  bundle: Bundle,
): Promise<void> {
  const { root, manifests, blobs } = bundle
  const [repository, tag = root.digest] = name.split(':')
  const to: Target = { base: `http://${address}/v2/${namespace}${repository}`, authorization }
  for (const blob of blobs) await putBlob(to, blob)
  for (const manifest of manifests) await putManifest(to, manifest.digest, manifest)
  await putManifest(to, tag, root)
}

interface Target {
  /** URL of the repository. */
  readonly base: string
  readonly authorization: string | undefined
}

async function putBlob(to: Target, { digest, bytes }: Content): Promise<void> {
  const session = await send(to, 'POST', `${to.base}/blobs/uploads/`, { expected: 202 })
  const location = new URL(session.headers.get('location') ?? '', session.url)
  location.searchParams.set('digest', digest)
  const body = { mediaType: 'application/octet-stream', bytes }
  await send(to, 'PUT', location.href, { expected: 201, body })
}

async function putManifest(to: Target, reference: string, body: Content): Promise<void> {
  await send(to, 'PUT', `${to.base}/manifests/${reference}`, { expected: 201, body })
}

interface Sending {
  /** Status. */
  readonly expected: number
  readonly body?: Pick<Content, 'mediaType' | 'bytes'>
}

async function send({ authorization }: Target, method: string, url: string, { expected, body }: Sending) {
  const headers = {
    ...(authorization === undefined ? {} : { authorization }),
    ...(body === undefined ? {} : { 'content-type': body.mediaType }),
  }
  const response = await fetch(url, { method, headers, ...(body && { body: Uint8Array.from(body.bytes) }) })
  const text = await response.text()
  if (response.status !== expected) throw new Error(`${method} ${url}: ${response.status} ${text}`)
  return response
}
