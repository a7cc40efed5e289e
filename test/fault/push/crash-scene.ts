/** Layover with a local namespace, in this process, and the shortest ways to push to it. */
import { join } from 'node:path'
import { expect, vi } from 'vitest'
import { digestOf } from '../../../src/oci/digest.ts'
import { FakeClock } from '../../fake/clock.ts'
import { startInternet } from '../../fake/internet.ts'
import { startTestLayover, upstream } from '../../support/layover.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { leftIn } from './crash-check.ts'
import { type Sending, type Sent, send } from './crash-send.ts'

export const imageType = 'application/vnd.oci.image.manifest.v1+json'

export type PushScene = Awaited<ReturnType<typeof pushScene>>

/** @param folder where the store is made */
export async function pushScene(folder?: string) {
  const dir = await tempDir()
  const storePath = join(folder ?? dir.path, 'data')
  const net = await startInternet()
  const layover = await startTestLayover({
    clock: new FakeClock(Date.now()),
    lookup: net.lookup,
    upstreams: [
      upstream({
        registry: 'plain.test',
        isDefault: true,
        options: { urls: [{ url: net.url('plain.test'), credentials: undefined }] },
      }),
    ],
    store: { path: storePath },
  })
  /** @param path below `/v2/`, or a `Location` */
  const ask = (path: string, sending?: Sending): Promise<Sent> =>
    send(new URL(path, `${layover.url}/v2/`).href, sending)
  return {
    net,
    layover,
    storePath,
    ask,
    async start(repository: string): Promise<string> {
      const sent = await ask(`${repository}/blobs/uploads/`, { method: 'POST' })
      expect(sent.status, sent.body.toString()).toBe(202)
      return String(sent.headers.location)
    },
    post: (repository: string, body: Buffer) =>
      ask(`${repository}/blobs/uploads/?digest=${digestOf(body)}`, { method: 'POST', body }),
    patch: (location: string, body: Buffer) => ask(location, { method: 'PATCH', body }),
    close: (location: string, digest: string, body: Buffer = Buffer.alloc(0)) =>
      ask(`${location}?digest=${digest}`, { method: 'PUT', body }),
    mount: (repository: string, digest: string, from: string) =>
      ask(`${repository}/blobs/uploads/?mount=${digest}&from=${from}`, { method: 'POST' }),
    putManifest: (repository: string, reference: string, body: Buffer) =>
      ask(`${repository}/manifests/${reference}`, {
        method: 'PUT',
        headers: { 'content-type': imageType },
        body,
      }),
    /** Resolves when nothing is left of what was on its way: a closed session is removed behind its answer. */
    async untilNoScraps(): Promise<void> {
      await vi.waitFor(
        async () => {
          const scraps = [...(await leftIn(storePath, 'trash')), ...(await leftIn(storePath, 'uploads'))]
          expect(scraps).toEqual([])
        },
        { timeout: 10_000, interval: 5 },
      )
    },
    async [Symbol.asyncDispose]() {
      await layover[Symbol.asyncDispose]()
      await net.close()
      await dir[Symbol.asyncDispose]()
    },
  }
}

/** An image without layers, different for each name. */
export function manifestOf(name: string, subject?: Buffer): Buffer {
  const config = {
    mediaType: 'application/vnd.oci.empty.v1+json',
    digest: digestOf(Buffer.from('{}')),
    size: 2,
  }
  const about = subject && { mediaType: imageType, digest: digestOf(subject), size: subject.length }
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: imageType,
      config,
      layers: [],
      annotations: { name },
      ...(about ? { subject: about } : {}),
    }),
  )
}
