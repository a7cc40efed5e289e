/** A store with pushes, cached content and scrubs over it. */
import { appendFile, open, readdir, stat, truncate, writeFile } from 'node:fs/promises'
import { Catalog } from '../../../src/index/catalog.ts'
import type { BlobEntry, ManifestEntry, TagEntry } from '../../../src/index/index.ts'
import { createLogger } from '../../../src/observe/log.ts'
import type { Digest } from '../../../src/oci/digest.ts'
import { viewManifest } from '../../../src/oci/manifest.ts'
import { mediaTypes } from '../../../src/oci/media-type.ts'
import { parseRepositoryName, type Tag } from '../../../src/oci/name.ts'
import type { Finding, Report, ScrubDeps } from '../../../src/scrub/run.ts'
import { Scrub } from '../../../src/scrub/scrub.ts'
import type { RepositoryKey } from '../../../src/store/layout.ts'
import { openCollected, type Pushed } from '../collect/collect-rig.ts'

export const nothing: Omit<Report, 'files' | 'bytes'> = {
  dropped: 0,
  quarantined: 0,
  missing: 0,
  malformed: 0,
  records: 0,
  unchecked: 0,
}

export const upstreamKey: RepositoryKey = {
  registry: 'docker.io',
  repository: parseRepositoryName('library/app'),
}

export async function openScrubbed() {
  const rig = await openCollected()
  const { store, clock, metrics, index } = rig
  const log = createLogger('info', { write: line => rig.lines.push(line) })
  const catalog = new Catalog(index, store, clock)
  const quarantined: Digest[] = []
  return {
    ...rig,
    catalog,
    quarantined,
    scrub: (more: Partial<ScrubDeps> = {}) =>
      new Scrub({
        store,
        catalog,
        clock,
        log,
        metrics,
        bytesPerSecond: () => 0,
        quarantined: digest => quarantined.push(digest),
        ...more,
      }),
    async keepTag(tag: string, of: Pushed, key = upstreamKey): Promise<void> {
      const size = of.body.length
      const entry: TagEntry = {
        digest: of.digest,
        mediaType: mediaTypes.ociManifest,
        size,
        movedAt: clock.now(),
        checkedAt: clock.now(),
        missingSince: undefined,
      }
      await (await catalog.moveTag(key, tag as Tag, entry))()
    },
    /** As a pull leaves it. */
    async keepManifest(of: Pushed, key = upstreamKey): Promise<void> {
      await store.put(of.digest, of.body)
      const view = viewManifest(of.body)
      const entry: Omit<ManifestEntry, 'at' | 'pulledAt'> = {
        mediaType: mediaTypes.ociManifest,
        size: of.body.length,
        artifactType: undefined,
        subject: undefined,
        annotations: undefined,
        isPublic: true,
      }
      await (await catalog.putManifest(key, of.digest, entry, view?.blobs ?? []))()
    },
    async keepBlob(of: Pushed, key = upstreamKey): Promise<void> {
      await store.put(of.digest, of.body)
      const entry: BlobEntry = { size: of.body.length, isPublic: true }
      await catalog.putBlob(key, of.digest, entry)
    },
    isThere: (path: string) =>
      stat(path).then(
        () => true,
        () => false,
      ),
    quarantine: () => readdir(store.layout.quarantine).catch(() => []),
    metricOf: async (name: string) =>
      (await metrics.registry.metrics())
        .split('\n')
        .filter(line => line.startsWith(name))
        .map(line => line.slice(name.length)),
  }
}

export type ScrubRig = Awaited<ReturnType<typeof openScrubbed>>

export const damages = {
  'a flipped bit': async (path: string) => {
    const file = await open(path, 'r+')
    const byte = Buffer.alloc(1)
    await file.read(byte, 0, 1, 0)
    await file.write(Buffer.of((byte[0] ?? 0) ^ 1), 0, 1, 0)
    await file.close()
  },
  'a missing end': (path: string) => truncate(path, 3),
  'nothing left': (path: string) => truncate(path, 0),
  'something appended': (path: string) => appendFile(path, 'x'),
  'other bytes': (path: string) => writeFile(path, 'something else'),
} as const

export const flipBit = damages['a flipped bit']

export function collect() {
  const findings: Finding[] = []
  return { findings, told: (finding: Finding) => findings.push(finding) }
}
