/** Layover under a wall clock that is set to and fro, with an upstream and a local namespace. */
import { once } from 'node:events'
import { request } from 'node:http'
import { json } from 'node:stream/consumers'
import { expect, vi } from 'vitest'
import { digestOf } from '../../src/oci/digest.ts'
import { FakeClock } from '../fake/clock.ts'
import { startInternet } from '../fake/internet.ts'
import { ask, plain } from '../http/scene.ts'
import { startTestLayover, type UpstreamSetting } from '../support/layover.ts'
import type { LocalSetting } from '../support/local.ts'
import { imageType } from './push/crash-scene.ts'
import { type Sending, send } from './push/crash-send.ts'

export const hour = 3_600_000
export const day = 24 * hour
export const year = 365 * day

/** How long those sleep who keep the cache below its cap, and who delete and collect. */
const loopsMs = [10_000, hour]

/** The wall clock can be set; what is measured from an arbitrary start goes on as it did. */
export class SettableClock extends FakeClock {
  readonly #asleep = new Map<number, number>()
  #setBy = 0

  override now(): number {
    return super.now() + this.#setBy
  }

  override async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    this.#count(ms, 1)
    try {
      await super.sleep(ms, signal)
    } finally {
      this.#count(ms, -1)
    }
  }

  /** Whether somebody sleeps for so long. */
  isAsleep(ms: number): boolean {
    return (this.#asleep.get(ms) ?? 0) > 0
  }

  /** Forward, or back where negative. No time passes. */
  set(byMs: number): void {
    this.#setBy += byMs
  }

  #count(ms: number, by: number): void {
    this.#asleep.set(ms, (this.#asleep.get(ms) ?? 0) + by)
  }
}

export interface JumpSetting {
  readonly upstream?: Pick<UpstreamSetting, 'policy' | 'keeping'>
  readonly local?: Partial<LocalSetting>
  readonly capacity?: Parameters<typeof startTestLayover>[0]['capacity']
}

export async function jumpScene({ upstream = {}, local = {}, capacity = {} }: JumpSetting = {}) {
  const clock = new SettableClock(Date.now()) // files carry the real time
  const net = await startInternet({ clock })
  const layover = await startTestLayover({
    clock,
    lookup: net.lookup,
    upstreams: [plain(net, upstream)],
    local: [{ name: 'local', match: 'local/**', ...local }],
    capacity,
  })
  /** Each of the loops has done its work and sleeps. */
  const idle = async () => {
    await new Promise(setImmediate) // who was woken is counted as awake then
    await vi.waitFor(() => expect(loopsMs.filter(ms => !clock.isAsleep(ms))).toEqual([]), {
      timeout: 10_000,
      interval: 2,
    })
  }
  const at = {
    net,
    clock,
    layover,
    /** @param path below `/v2/`, or a `Location` */
    ask: (path: string, sending?: Sending) => send(new URL(path, `${layover.url}/v2/`).href, sending),
    /** Resolves when it is answered from here, and everything about it is written down. */
    async warm(path: string) {
      await vi.waitFor(
        async () => {
          const { status, headers } = await ask(layover.url, `/v2/${path}`)
          expect([status, headers['cache-status']]).toEqual([200, 'layover; hit'])
          const { body } = await ask(layover.url, '/metrics')
          expect(body.toString()).not.toMatch(/^layover_flights\{.*\} [1-9]/m)
        },
        { timeout: 10_000, interval: 5 },
      )
      net.clearRequests()
    },
    /** Time goes by; resolves when everything that was due for it is done. */
    async pass(ms: number) {
      await idle()
      clock.advance(ms)
      await idle()
    },
    async push(repository: string, content: Buffer): Promise<string> {
      const digest = digestOf(content)
      const sent = await at.ask(`${repository}/blobs/uploads/?digest=${digest}`, {
        method: 'POST',
        body: content,
      })
      expect(sent.status, sent.body.toString()).toBe(201)
      return digest
    },
    /** A manifest of one layer that is there. */
    async put(repository: string, reference: string | undefined, layer: Buffer): Promise<string> {
      const body = imageOf(layer)
      const path = `${repository}/manifests/${reference ?? digestOf(body)}`
      const sent = await at.ask(path, { method: 'PUT', headers: { 'content-type': imageType }, body })
      expect(sent.status, sent.body.toString()).toBe(201)
      return digestOf(body)
    },
    status: async (path: string) => (await at.ask(path)).status,
    async collect(): Promise<unknown> {
      expect((await admin('POST', 'collections')).state).toBe('running')
      return vi.waitFor(
        async () => {
          const run = await admin('GET', 'collections/current')
          expect(run.state).toBe('done')
          return run.report
        },
        { timeout: 10_000, interval: 5 },
      )
    },
    async [Symbol.asyncDispose]() {
      await net.close()
      await layover[Symbol.asyncDispose]()
    },
  }
  const admin = async (method: string, path: string) => {
    const headers = { host: 'localhost' }
    const outgoing = request({ socketPath: layover.admin?.socket, method, path: `/api/v1/${path}`, headers })
    const [response] = await once(outgoing.end(), 'response')
    return (await json(response)) as { state?: string; report?: unknown }
  }
  return at
}

function imageOf(layer: Buffer): Buffer {
  const config = {
    mediaType: 'application/vnd.oci.empty.v1+json',
    digest: digestOf(Buffer.from('{}')),
    size: 2,
  }
  const layers = [{ mediaType: 'application/octet-stream', digest: digestOf(layer), size: layer.length }]
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: imageType, config, layers }))
}
