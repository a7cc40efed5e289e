/** A plain client that pushes: each function is one request or the shortest way to a whole push, and hides nothing of the answer. */
import { expect } from 'vitest'
import { digestOf } from '../../src/oci/digest.ts'
import { readContent, type StoredBlob } from '../fake/bytes.ts'
import type { Bundle, StoredManifest } from '../fake/content.ts'
import { type Answered, ask } from './scene.ts'

export interface PushTo {
  /** Of the registry. */
  readonly url: string
  readonly name: string
}

/** In one request. */
export function pushBlob({ url, name }: PushTo, content: Buffer | StoredBlob): Promise<Answered> {
  const body = Buffer.isBuffer(content) ? content : readContent(content.content)
  const digest = Buffer.isBuffer(content) ? digestOf(content) : content.digest
  const headers = { 'content-type': 'application/octet-stream', 'content-length': String(body.length) }
  return ask(url, `/v2/${name}/blobs/uploads/?digest=${digest}`, { method: 'POST', headers, body })
}

/** As most clients do it: a POST that opens a session, and a PUT that brings everything. */
export async function pushBlobInSession(
  { url, name }: PushTo,
  { content, digest }: StoredBlob,
): Promise<Answered> {
  const { headers } = await ask(url, `/v2/${name}/blobs/uploads/`, { method: 'POST' })
  const location = new URL(headers.location ?? '', url)
  location.searchParams.set('digest', digest)
  const body = readContent(content)
  return ask(url, location.pathname + location.search, {
    method: 'PUT',
    headers: { 'content-length': String(body.length) },
    body,
  })
}

/** @param reference a tag or digest, with a query if need be; default: the digest */
export function pushManifest(
  { url, name }: PushTo,
  { digest, mediaType, body }: StoredManifest,
  reference: string = digest,
): Promise<Answered> {
  const headers = { 'content-type': mediaType, 'content-length': String(body.length) }
  return ask(url, `/v2/${name}/manifests/${reference}`, { method: 'PUT', headers, body })
}

/** All of it, the root under the tags too. Rejects where anything is not answered 201. */
export async function pushBundle(to: PushTo, bundle: Bundle, ...tags: readonly string[]): Promise<void> {
  for (const blob of bundle.blobs) expectCreated(await pushBlob(to, blob))
  for (const manifest of bundle.manifests) expectCreated(await pushManifest(to, manifest))
  for (const tag of tags) expectCreated(await pushManifest(to, bundle.root, tag))
}

function expectCreated({ status, body }: Answered): void {
  expect([status, body.toString()]).toEqual([201, ''])
}
