/** A store whose repositories hold a great many tags of a great many manifests, as pushes would have left it. */
import { linkSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Index } from '../src/index/index.ts'
import { manifestRecord, tagRecord } from '../src/index/records.ts'
import { openSqliteIndex } from '../src/index/rows/sqlite.ts'
import { createLogger } from '../src/observe/log.ts'
import { type Digest, digestOf } from '../src/oci/digest.ts'
import { mediaTypes } from '../src/oci/media-type.ts'
import { parseRepositoryName } from '../src/oci/name.ts'
import { systemClock } from '../src/runtime/clock.ts'
import { Layout, localRegistry } from '../src/store/layout.ts'
import { tagAt } from './holdings.ts'
import type { Site } from './site.ts'

const tagsOfOneManifest = 10
const body = Buffer.alloc(2048, ' ')
const breatheEach = 500

/** One repository for each count of tags. Resolves with the folder of a Layover that can be started on it. */
export async function makeTagged(site: Site, counts: readonly number[]): Promise<string> {
  const home = site.newPath()
  await (await site.startLayover({ home }))[Symbol.asyncDispose]() // makes the store
  const layout = new Layout(join(home, 'data'))
  const index = await openSqliteIndex({ path: layout.index, clock: systemClock, log: createLogger('warn') })
  try {
    for (const count of counts) await fill({ layout, index }, repositoryOf(count), count)
    await index.flush()
  } finally {
    await index.close()
  }
  return home
}

/** The same as files for a server that knows no more. */
export async function writeTaggedFiles(root: string, counts: readonly number[]): Promise<void> {
  for (const count of counts) {
    const folder = join(root, 'v2', repositoryOf(count), 'manifests')
    mkdirSync(folder, { recursive: true })
    for (let first = 0; first < count; first += tagsOfOneManifest) {
      const path = join(folder, tagAt(first))
      writeFileSync(path, manifestBytes(`${repositoryOf(count)} ${first}`))
      for (let at = first + 1; at < Math.min(count, first + tagsOfOneManifest); at += 1)
        linkSync(path, join(folder, tagAt(at)))
      if (first % breatheEach === 0) await new Promise(setImmediate)
    }
  }
}

export function repositoryOf(tags: number): string {
  return `local/tags-${tags}`
}

interface Target {
  layout: Layout
  index: Index
}

async function fill({ layout, index }: Target, repository: string, tags: number): Promise<void> {
  const key = { registry: localRegistry, repository: parseRepositoryName(repository) }
  const entry = { mediaType: mediaTypes.ociManifest, at: 1 }
  mkdirSync(layout.tags(key), { recursive: true })
  for (let first = 0; first < tags; first += tagsOfOneManifest) {
    const bytes = manifestBytes(`${repository} ${first}`)
    const [digest, size] = [digestOf(bytes), bytes.length]
    write(layout.pushed(digest), bytes)
    const manifest = {
      ...entry,
      size,
      artifactType: undefined,
      subject: undefined,
      annotations: undefined,
      pulledAt: undefined,
      isPublic: false,
    }
    write(layout.manifest(key, digest), JSON.stringify(manifestRecord(manifest, 'push')))
    await index.putManifest(key, digest, manifest)
    for (let at = first; at < Math.min(tags, first + tagsOfOneManifest); at += 1) {
      const pointed = tagEntry(digest, size)
      const path = layout.tag(key, tagAt(at))
      if (at === first) write(path, JSON.stringify(tagRecord(pointed, 'push')))
      else linkSync(layout.tag(key, tagAt(first)), path)
      await index.putTag(key, tagAt(at), pointed)
    }
    if (first % breatheEach === 0) await new Promise(setImmediate)
  }
  await index.markComplete(key, 'tags')
  await index.markComplete(key, 'manifests')
}

function tagEntry(digest: Digest, size: number) {
  const mediaType = mediaTypes.ociManifest
  return { digest, mediaType, size, movedAt: 1, checkedAt: 1, missingSince: undefined }
}

/** JSON may end in blanks. */
function manifestBytes(of: string): Buffer {
  const text = JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociManifest, annotations: { of } })
  const bytes = Buffer.from(body)
  bytes.write(text)
  return bytes
}

function write(path: string, content: string | Buffer): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, content)
}
