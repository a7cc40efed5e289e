/** What is held here, beyond what the distribution API tells: below `/v2/_ext/`. */

import type { Page } from '../../index/index.ts'
import type { RevisionEntry } from '../../index/revisions.ts'
import { type Digest, isDigest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import { countManifests } from '../../pull/local-inventory.ts'
import { mergePages } from '../../pull/overlay.ts'
import { keyText, localRegistry, type RepositoryKey } from '../../store/layout.ts'
import { type Answer, json } from '../answer.ts'
import type { ExtensionOperation, InventoryOperation } from '../route.ts'
import { answerCatalog } from './catalog.ts'
import { answerDiscover } from './discover.ts'
import {
  countNamespaces,
  groupsOf,
  type InventoryCall,
  type Namespace,
  namespaces,
  shownKeysOf,
} from './inventory.ts'
import { cut, linkTo, type PageAsked, pageAfter, pageAsked } from './paging.ts'

/** @throws as the one that the operation leads to, and as the resolver for a name */
export async function answerInventory(call: InventoryCall, operation: InventoryOperation): Promise<Answer> {
  if (operation.kind === 'catalog') return answerCatalog(call)
  if (operation.kind === 'extension') return answerExtension(call, operation)
  const { name } = operation
  if (name !== undefined) call.deps.resolver.resolve({ name })
  return answerDiscover(name)
}

/** @throws RegistryError UNAVAILABLE (503) while the index does not know what is asked for whole, NAME_UNKNOWN (404) */
function answerExtension(call: InventoryCall, operation: ExtensionOperation): Promise<Answer> {
  switch (operation.what) {
    case 'repositories':
      return listRepositories(call)
    case 'namespaces':
      return listNamespaces(call, operation.repository)
    case 'revisions':
      return listRevisions(call, operation.name)
    case 'uploads':
      return listUploads(call, operation.name)
  }
}

async function listRepositories(call: InventoryCall): Promise<Answer> {
  const repositories = []
  for (const group of groupsOf(call.deps.resolver)) {
    repositories.push({
      name: group.name,
      namespaces: await countNamespaces(call, group),
      is_pull_through: group.registry !== undefined || group.local?.overlay === true,
      immutable_tags: (group.local?.immutableTags.length ?? 0) > 0,
    })
  }
  return json({ repositories })
}

async function listNamespaces(call: InventoryCall, repository: string): Promise<Answer> {
  const { exchange, deps, pageLimit } = call
  const group = groupsOf(deps.resolver).find(({ name }) => name === repository)
  if (!group) throw new RegistryError('NAME_UNKNOWN', 'there is no such upstream or local namespace')
  const asked = pageAsked(exchange.query, pageLimit)
  const found = await namespaces(call, group, { last: asked.last, limit: asked.limit + 1 })
  const { shown, next } = cut(found, asked.limit)
  const described = await describeNamespaces(call, shown)
  return page(call, { namespaces: described }, { path: `${repository}/_namespaces`, asked, next: next?.name })
}

async function describeNamespaces({ deps }: InventoryCall, shown: readonly Namespace[]) {
  const uploads = new Map<string, number>()
  for (const { key } of await deps.openUploads())
    uploads.set(keyText(key), (uploads.get(keyText(key)) ?? 0) + 1)
  const described = []
  for (const { name, keys } of shown) {
    described.push({
      name,
      manifests: await countManifests(deps.store, keys),
      uploads: keys.reduce((sum, key) => sum + (uploads.get(keyText(key)) ?? 0), 0),
    })
  }
  return described
}

async function listRevisions(call: InventoryCall, name: string): Promise<Answer> {
  const { exchange, deps, pageLimit } = call
  const keys = knownKeys(call, name)
  const asked = pageAsked(exchange.query, pageLimit)
  const { last } = asked
  if (last !== undefined && !isDigest(last))
    throw new RegistryError('UNSUPPORTED', 'last has to be a digest', { status: 400 })
  const wanted: Page<Digest> = { last, limit: asked.limit + 1 }
  const pages = await Promise.all(keys.map(key => deps.revisions.page(key, wanted)))
  const { shown, next } = cut(
    mergePages(pages, ({ digest }) => digest, wanted.limit),
    asked.limit,
  )
  if (shown.length === 0 && last === undefined && !(await holdsAny(call, keys)))
    throw new RegistryError('NAME_UNKNOWN', `${name} holds nothing here`)
  const body = { revisions: shown.map(describeRevision) }
  return page(call, body, { path: `${name}/_revisions`, asked, next: next?.digest })
}

function describeRevision({ digest, mediaType, tags, parents, at, pulledAt }: RevisionEntry) {
  return {
    digest,
    media_type: mediaType,
    tags,
    parent: parents[0] ?? null,
    pushed_at: seconds(at),
    last_pulled_at: seconds(pulledAt),
  }
}

async function holdsAny({ deps }: InventoryCall, keys: readonly RepositoryKey[]): Promise<boolean> {
  for (const key of keys) {
    if (key.registry === localRegistry && (await deps.holdings.exists(key))) return true
  }
  return false
}

async function listUploads(call: InventoryCall, name: string): Promise<Answer> {
  const lists = []
  for (const key of knownKeys(call, name)) lists.push(await call.deps.openUploads(key))
  return json({
    uploads: lists
      .flat()
      .sort((one, other) => one.startedAt - other.startedAt)
      .map(({ id, size, startedAt }) => ({ uuid: id, size, started_at: seconds(startedAt) })),
  })
}

function knownKeys({ deps }: InventoryCall, name: string): readonly RepositoryKey[] {
  const keys = shownKeysOf(deps.resolver.find(name))
  if (keys.length === 0)
    throw new RegistryError('NAME_UNKNOWN', 'the name belongs to no upstream or local namespace')
  return keys
}

interface Next {
  /** Below `_ext/`. */
  path: string
  asked: PageAsked
  next: string | undefined
}

function page({ base }: InventoryCall, body: object, { path, asked, next }: Next): Answer {
  const answer = json(body)
  if (next === undefined) return answer
  const link = linkTo(`${base}_ext/${path}`, new URLSearchParams(pageAfter(next, asked)))
  return { ...answer, headers: { ...answer.headers, ...link } }
}

/** Whole seconds since the epoch. */
function seconds(ms: number | undefined): number | null {
  return ms === undefined ? null : Math.floor(ms / 1000)
}
