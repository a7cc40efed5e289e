/** A store with a cap, on a disk of its own, for what a test does to it. */
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { createLogger } from '../../../../src/observe/log.ts'
import { createMetrics } from '../../../../src/observe/metrics.ts'
import { type Digest, digestOf } from '../../../../src/oci/digest.ts'
import type { CapacityLimits } from '../../../../src/store/eviction/capacity.ts'
import { openStore } from '../../../../src/store/store.ts'
import { FakeClock } from '../../../fake/clock.ts'
import { tempDir } from '../../../support/temp-dir.ts'

export const hourMs = 3_600_000
export const unlimited: CapacityLimits = {
  maxBytes: Number.POSITIVE_INFINITY,
  maxBytesOf: () => Number.POSITIVE_INFINITY,
  minFree: () => 0,
  unusedMsOf: () => Number.POSITIVE_INFINITY,
}

export async function rig(given: Partial<CapacityLimits> = {}) {
  const dir = await tempDir()
  const clock = new FakeClock(Date.now())
  const pinned = new Set<Digest>()
  const dropped: Digest[] = []
  const stopping = new AbortController()
  const lines: string[] = []
  let limits = { ...unlimited, ...given }
  const log = createLogger('warn', { write: line => lines.push(line) })
  const open = () =>
    openStore(dir.path, {
      log,
      metrics: createMetrics(),
      dropped: digest => dropped.push(digest),
      clock,
      capacity: { limits: () => limits, isPinned: digest => pinned.has(digest), stopping: stopping.signal },
    })
  const at = {
    store: await open(),
    path: dir.path,
    clock,
    pinned,
    dropped,
    stopping,
    lines,
    limit: (next: Partial<CapacityLimits>) => {
      limits = { ...limits, ...next }
    },
    put: async (name: string, size = 1000, owner = 'docker.io') => {
      const content = contentOf(name, size)
      return (await at.store.put(digestOf(content), content, owner)) ? digestOf(content) : undefined
    },
    here: async (digest: Digest | undefined) =>
      digest !== undefined && (await at.store.size(digest)) !== undefined,
    reopen: async (meanwhile: () => Promise<unknown> = async () => {}) => {
      at.store.close()
      await meanwhile()
      at.store = await open()
    },
    [Symbol.asyncDispose]: async () => {
      at.store.close()
      await dir[Symbol.asyncDispose]()
    },
  }
  return at
}

export const contentOf = (name: string, size: number) => Buffer.alloc(size, `${name} `)

/** In one turn: what goes and what comes meanwhile would else be counted both. */
export function bytesBelow(folder: string): number {
  let bytes = 0
  if (!existsSync(folder)) return bytes
  for (const entry of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    const found = statSync(join(folder, entry), { throwIfNoEntry: false })
    if (found?.isFile() && !entry.endsWith('.note')) bytes += found.size
  }
  return bytes
}

export const onDisk = ({ path }: { path: string }) =>
  bytesBelow(join(path, 'cached')) + bytesBelow(join(path, 'partial'))
