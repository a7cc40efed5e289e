/** What the store holds, counted from its folders: beside whoever owns it, and as of no one moment. */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { entriesOf, repositoriesOf } from '../index/folders.ts'
import { diskNames } from '../store/files/names.ts'
import { ifThere } from '../store/files/system-error.ts'
import type { Layout, RepositoryKey } from '../store/layout.ts'

export interface Held {
  files: number
  bytes: number
}

export interface Names {
  repositories: number
  tags: number
  manifests: number
  blobs: number
}

export const areas = ['cached', 'pushed', 'partial', 'uploads', 'trash', 'quarantine'] as const
export type Area = (typeof areas)[number]

export interface Stats {
  readonly areas: Readonly<Record<Area, Held>>
  /** Of the pushed ones: they take no space of their own, since cached ones are the same files. */
  readonly shared: Held
  /** By registry; what was pushed stands under `_local`. Blobs are links to them. */
  readonly registries: Readonly<Record<string, Names>>
}

const atOnce = 32

export async function countStore(layout: Layout): Promise<Stats> {
  const shared: Held = { files: 0, bytes: 0 }
  const counted = {
    cached: await measure(layout.cachedBytes),
    pushed: await measure(layout.pushedBytes, shared),
    partial: await measure(layout.partials),
    uploads: await measure(layout.uploads),
    trash: await measure(layout.trash),
    quarantine: await measure(layout.quarantine),
  }
  return { areas: counted, shared, registries: await countNames(layout) }
}

/** @param shared gets those that have another name too */
async function measure(root: string, shared?: Held): Promise<Held> {
  const held: Held = { files: 0, bytes: 0 }
  const add = async (path: string) => {
    const found = await ifThere(stat(path))
    if (!found) return
    for (const sum of shared && found.nlink > 1 ? [held, shared] : [held]) {
      sum.files += 1
      sum.bytes += found.size
    }
  }
  let paths: string[] = []
  for await (const path of filesBelow(root)) {
    paths.push(path)
    if (paths.length < atOnce) continue
    await Promise.all(paths.map(add))
    paths = []
  }
  await Promise.all(paths.map(add))
  return held
}

async function* filesBelow(folder: string): AsyncGenerator<string> {
  for await (const entry of entriesOf(folder)) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) yield* filesBelow(path)
    else if (entry.isFile()) yield path
  }
}

async function countNames(layout: Layout): Promise<Record<string, Names>> {
  const registries = new Map<string, Names>()
  for await (const key of repositoriesOf({ layout, names: diskNames })) {
    const of = registries.get(key.registry) ?? { repositories: 0, tags: 0, manifests: 0, blobs: 0 }
    registries.set(key.registry, of)
    await addNames(layout, key, of)
  }
  return Object.fromEntries(registries)
}

async function addNames(layout: Layout, key: RepositoryKey, of: Names): Promise<void> {
  of.repositories += 1
  of.tags += await countIn(layout.tags(key))
  of.manifests += await countIn(layout.manifests(key))
  of.blobs += await countIn(layout.blobs(key))
}

async function countIn(folder: string): Promise<number> {
  let count = 0
  for await (const _ of entriesOf(folder)) count += 1
  return count
}
