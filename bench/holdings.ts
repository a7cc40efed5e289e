/**
 * A store in which local repositories hold a great deal. Layover itself writes one record of each kind; the others are
 * further names of those files, so that a million records cost no million files.
 */
import { copyFileSync, linkSync, mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Index } from '../src/index/index.ts'
import { openSqliteIndex } from '../src/index/rows/sqlite.ts'
import { createLogger } from '../src/observe/log.ts'
import { type Digest, digestOf } from '../src/oci/digest.ts'
import { mediaTypes } from '../src/oci/media-type.ts'
import { parseRepositoryName, type RepositoryName, type Tag } from '../src/oci/name.ts'
import { systemClock } from '../src/runtime/clock.ts'
import { Layout, localRegistry } from '../src/store/layout.ts'
import type { Site } from './site.ts'

/** Below what file systems allow. */
const namesOfOneFile = 50_000
const emptyConfig = {
  mediaType: 'application/vnd.oci.empty.v1+json',
  digest: digestOf(Buffer.from('{}')),
  size: 2,
}

export const crowded = {
  /** A repository of so many tags. */
  manyTags: 'local/many-tags',
  tags: 1_000_000,
  fewTags: 'local/few-tags',
  few: 10,
  /** A subject with so many referrers. */
  referred: 'local/referred',
  referrers: 10_000,
  /** Repositories of one manifest each. */
  repositories: 100_000,
} as const

const subject = manifest(0, undefined)
export const subjectDigest = subject.digest

export function tagAt(at: number): Tag {
  return `v${String(at).padStart(7, '0')}` as Tag
}

export function repositoryAt(at: number): RepositoryName {
  return parseRepositoryName(`local/catalog/r${String(at).padStart(6, '0')}`)
}

/** Resolves with the folder of a Layover that can be started on it. */
export async function makeCrowded(site: Site): Promise<string> {
  const home = site.newPath()
  await pushTemplates(site, home)
  const layout = new Layout(join(home, 'data'))
  const index = await openSqliteIndex({ path: layout.index, clock: systemClock, log: createLogger('warn') })
  try {
    await fillTags({ layout, index }, crowded.manyTags, crowded.tags)
    await fillTags({ layout, index }, crowded.fewTags, crowded.few)
    await fillCatalog({ layout, index })
    await index.flush()
  } finally {
    await index.close()
  }
  return home
}

async function pushTemplates(site: Site, home: string): Promise<void> {
  await using layover = await site.startLayover({ home })
  const put = async (bodies: readonly Buffer[], path: (body: Buffer) => string) => {
    const puts = bodies.map(body => ({ path: path(body), body, contentType: mediaTypes.ociManifest }))
    const { right } = await site.client.call('putMany', { url: layover.url, puts, connections: 16 })
    if (right !== puts.length)
      throw new Error(`${puts.length - right} of ${puts.length} manifests were refused`)
  }
  for (const repository of [crowded.manyTags, crowded.fewTags, repositoryAt(0), crowded.referred])
    await put([subject.body], () => `/v2/${repository}/manifests/${tagAt(0)}`)
  const referrers = Array.from({ length: crowded.referrers }, (_, at) => manifest(at + 1, subject).body)
  await put(referrers, body => `/v2/${crowded.referred}/manifests/${digestOf(body)}`)
}

interface Target {
  layout: Layout
  index: Index
}

/** From the tag that is there. */
async function fillTags({ layout, index }: Target, repository: string, count: number): Promise<void> {
  const key = { registry: localRegistry, repository: parseRepositoryName(repository) }
  fill(layout.tag(key, tagAt(0)), count, at => layout.tag(key, tagAt(at)))
  const found = await index.tag(key, tagAt(0))
  if (found.answer !== 'present') throw new Error(`the index has forgotten ${repository}: ${found.answer}`)
  for (let at = 1; at < count; at += 1) await index.putTag(key, tagAt(at), found.value)
  await index.markComplete(key, 'tags')
}

async function fillCatalog({ layout, index }: Target): Promise<void> {
  const key = (at: number) => ({ registry: localRegistry, repository: repositoryAt(at) })
  fill(layout.manifest(key(0), subject.digest), crowded.repositories, at => {
    const path = layout.manifest(key(at), subject.digest)
    mkdirSync(dirname(path), { recursive: true })
    return path
  })
  for (let at = 1; at < crowded.repositories; at += 1) await index.putRepository(key(at))
  await index.markRepositoriesComplete()
}

function fill(first: string, count: number, pathAt: (at: number) => string): void {
  let original = first
  for (let at = 1; at < count; at += 1) {
    const path = pathAt(at)
    if (at % namesOfOneFile === 0) {
      copyFileSync(first, path)
      original = path
    } else linkSync(original, path)
  }
}

interface Manifest {
  body: Buffer
  digest: Digest
}

function manifest(at: number, of: Manifest | undefined): Manifest {
  const mediaType = mediaTypes.ociManifest
  const subject = of && { mediaType, digest: of.digest, size: of.body.length }
  const body = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType,
      artifactType: 'application/vnd.bench.test',
      config: emptyConfig,
      layers: [emptyConfig],
      subject,
      annotations: { 'test.bench.number': String(at) },
    }),
  )
  return { body, digest: digestOf(body) }
}
