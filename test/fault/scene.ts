/** Layover in front of one registry of the stand-in internet, and what must hold of its store whatever happened. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { expect } from 'vitest'
import type { CredentialSource } from '../../src/upstream/upstream.ts'
import { type StoredBlob, seededBlob } from '../fake/bytes.ts'
import { FakeClock } from '../fake/clock.ts'
import { artifactOf, type Bundle } from '../fake/content.ts'
import type { HostName } from '../fake/hosts.ts'
import { startInternet } from '../fake/internet.ts'
import type { LoggedRequest } from '../fake/request-log.ts'
import { startTestLayover, type UpstreamSetting, upstream } from '../support/layover.ts'
import { download } from './download.ts'

export const repository = 'team/app'
export const kiB = 1024
export const miB = 1024 * kiB

/** The longest pause between two tries of one request; what is longer is a schedule. */
const longestPauseMs = 5_000

/** Pauses between tries take no time here, so that no test waits for them; everything longer stands still. */
export class HurriedClock extends FakeClock {
  override sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (ms <= longestPauseMs) setImmediate(() => this.advance(ms))
    return super.sleep(ms, signal)
  }
}

export type Scene = Awaited<ReturnType<typeof startScene>>

export interface SceneOptions {
  /** `hub` has tokens and signed redirects to two CDN hosts, `plain` gives blobs itself. */
  registry?: 'plain' | 'hub'
  options?: UpstreamSetting['options']
  credentials?: CredentialSource
  storePath?: string
  limits?: Parameters<typeof startTestLayover>[0]['limits']
}

/** An upstream that stalls is given up after a second: less, and a busy machine would look like one. */
export const impatient: SceneOptions = {
  options: { timeouts: { connectMs: 5_000, headersMs: 25_000, revalidateMs: 3_000, idleMs: 1_000 } },
}

const hostOf: Record<'plain' | 'hub', HostName> = { plain: 'plain.test', hub: 'registry.hub.test' }

export async function startScene({
  registry = 'plain',
  options = {},
  credentials,
  storePath,
  limits,
}: SceneOptions = {}) {
  const clock = new HurriedClock()
  const net = await startInternet({ clock })
  const host = hostOf[registry]
  const origin = registry === 'plain' ? net.plain : net.hub
  const urls = [{ url: net.url(host), credentials }]
  const layover = await startTestLayover({
    clock,
    lookup: net.lookup,
    upstreams: [upstream({ registry: host, isDefault: true, options: { urls, ...options } })],
    ...(storePath === undefined ? {} : { store: { path: storePath } }),
    ...(limits === undefined ? {} : { limits }),
  })
  const at = (path: string) => `${layover.url}/v2/${repository}/${path}`
  return {
    net,
    clock,
    host,
    origin,
    layover,
    blobUrl: ({ digest }: { digest: string }) => at(`blobs/${digest}`),
    manifestUrl: (reference: string) => at(`manifests/${reference}`),
    /** A blob upstream, of which nothing is known here. */
    blob(seed: string, size: number): StoredBlob {
      const blob = seededBlob(seed, size)
      origin.putBlob(repository, blob)
      return blob
    },
    /** A blob upstream whose size is known here from the manifest that lists it. */
    async listedBlob(seed: string, size: number): Promise<StoredBlob> {
      const blob = seededBlob(seed, size)
      const bundle = artifactOf([blob])
      origin.put(repository, undefined, bundle)
      await download(at(`manifests/${bundle.digest}`))
      return blob
    },
    put: (tag: string, bundle: Bundle) => origin.put(repository, tag, bundle),
    /** GETs of this blob that reached the host that has its bytes. */
    gets: (blob: { digest: string }) =>
      net.requests({ method: 'GET', path: hexOf(blob) }).filter(servesBytes),
    /** The next GET of this blob's bytes that fits, waited for from the first one on. */
    async nextGet(
      blob: { digest: string },
      fits: (request: LoggedRequest) => boolean,
    ): Promise<LoggedRequest> {
      for (let count = 1; ; count += 1) {
        const found = (await net.arrived({ method: 'GET', path: hexOf(blob) }, count))[count - 1]
        if (found && servesBytes(found) && fits(found)) return found
      }
    },
    async [Symbol.asyncDispose]() {
      await layover[Symbol.asyncDispose]()
      await net.close()
    },
  }
}

/** The hub itself answers with a challenge, then with a redirect. */
function servesBytes({ host }: LoggedRequest): boolean {
  return host !== hostOf.hub
}

function hexOf({ digest }: { digest: string }): RegExp {
  return new RegExp(digest.slice(digest.indexOf(':') + 1))
}

/** Every file under `cached/` has the digest that its name says. Resolves with the digests. */
export async function auditStore(storePath: string): Promise<string[]> {
  const found: string[] = []
  for (const path of await filesUnder(join(storePath, 'cached'))) {
    const algorithm = basename(dirname(dirname(path)))
    const hash = createHash(algorithm)
    await pipeline(createReadStream(path), hash)
    expect(hash.digest('hex'), `digest of ${path}`).toBe(basename(path))
    found.push(`${algorithm}:${basename(path)}`)
  }
  return found
}

/** Names of what unfinished fetches left behind, without their notes. */
export async function partialsOf(storePath: string): Promise<string[]> {
  const names = await readdir(join(storePath, 'partial'))
  return names.filter(name => !name.endsWith('.note'))
}

async function filesUnder(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true })
    return entries.filter(entry => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [] // nothing was ever kept
    throw error
  }
}
