/** Holdings over a real store and a real index, which can crash. */
import { copyFileSync, rmSync } from 'node:fs'
import { Catalog } from '../../../src/index/catalog.ts'
import { Holdings, type HoldingsDeps, type PushedManifest } from '../../../src/index/local/holdings.ts'
import { Repositories } from '../../../src/index/repositories.ts'
import { Revisions } from '../../../src/index/revisions.ts'
import type { RowIndex } from '../../../src/index/rows/row-index.ts'
import { openSqliteIndex } from '../../../src/index/rows/sqlite.ts'
import { createLogger } from '../../../src/observe/log.ts'
import { type Digest, digestOf } from '../../../src/oci/digest.ts'
import { type Descriptor, viewManifest } from '../../../src/oci/manifest.ts'
import { mediaTypes } from '../../../src/oci/media-type.ts'
import type { Tag } from '../../../src/oci/name.ts'
import { type Clock, systemClock } from '../../../src/runtime/clock.ts'
import { openTestStore } from '../store/store-rig.ts'

/** What `putManifest` takes for a body, as the push would make it. */
export function pushedManifest(
  body: Buffer,
  tags: readonly string[] = [],
  more: Partial<PushedManifest> = {},
): PushedManifest {
  const view = viewManifest(body)
  if (!view) throw new Error('the test has no manifest')
  return {
    mediaType: view.mediaType ?? mediaTypes.ociManifest,
    size: body.length,
    view,
    tags: tags as readonly Tag[],
    requires: [],
    stored: Promise.resolve(),
    allow: () => {},
    ...more,
  }
}

export interface Manifest {
  readonly body: Buffer
  readonly digest: Digest
}

/** An image with layers, and what it refers to. */
export function manifestOf(name: string, layers: readonly Digest[] = [], subject?: Digest): Manifest {
  const body = Buffer.from(
    JSON.stringify({
      mediaType: mediaTypes.ociManifest,
      artifactType: 'application/vnd.test',
      annotations: { name },
      layers: layers.map(layerOf),
      ...(subject ? { subject: layerOf(subject) } : {}),
    }),
  )
  return { body, digest: digestOf(body) }
}

export function layerOf(digest: Digest): Descriptor {
  return { mediaType: 'application/octet-stream', digest, size: 3 }
}

export async function openHoldings({ clock = systemClock }: { clock?: Clock } = {}) {
  const rig = await openTestStore()
  const { store } = rig
  const lines: string[] = []
  const log = createLogger('warn', { write: line => lines.push(line) })
  const options = { clock: systemClock, log: createLogger('silent'), flushMs: 2 ** 30 }
  let path = store.layout.index
  let index = await openSqliteIndex({ ...options, path })
  const assemble = (more: Pick<HoldingsDeps, 'countedIn'> = {}) => {
    const holdings = new Holdings({ index, store, clock, log, ...more })
    const catalog = new Catalog(index, store, clock)
    return {
      index,
      holdings,
      catalog,
      repositories: new Repositories({ index, holdings }),
      revisions: new Revisions({ catalog, holdings }),
    }
  }
  let saved: string | undefined
  const copy = (from: string, to: string) => {
    for (const suffix of ['', '-wal']) copyFileSync(from + suffix, to + suffix)
  }
  return {
    ...rig,
    lines,
    assemble,
    /** Keeps what is flushed now for a crash to bring back. */
    async saveIndex() {
      await index.flush()
      saved = `${store.layout.index}.saved`
      copy(path, saved)
    },
    /** The index as a power cut leaves it: as it was saved, else as it was flushed last. */
    async crash(): Promise<RowIndex> {
      const crashed = `${store.layout.index}.${Math.random()}`
      copy(saved ?? path, crashed)
      saved = undefined
      await index.close()
      path = crashed
      index = await openSqliteIndex({ ...options, path })
      return index
    },
    async loseIndex(): Promise<void> {
      await index.close()
      for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true })
      index = await openSqliteIndex({ ...options, path })
    },
    async reopen(): Promise<void> {
      await index.close()
      index = await openSqliteIndex({ ...options, path })
    },
    async put(
      holdings: Holdings,
      key: Parameters<Holdings['tag']>[0],
      manifest: Manifest,
      tags: string[] = [],
    ) {
      await store.pushed.put(manifest.digest, manifest.body)
      await holdings.putManifest(key, manifest.digest, pushedManifest(manifest.body, tags))
    },
    async [Symbol.asyncDispose]() {
      await index.close()
      await rig[Symbol.asyncDispose]()
    },
  }
}
