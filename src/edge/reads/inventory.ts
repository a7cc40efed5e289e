/** What listings of everything that is held work with, and the repositories that they are grouped by. */
import { setImmediate } from 'node:timers/promises'
import type { Page } from '../../index/index.ts'
import type { Holdings } from '../../index/local/holdings.ts'
import type { Repositories } from '../../index/repositories.ts'
import type { Revisions } from '../../index/revisions.ts'
import { matchesPattern } from '../../oci/pattern.ts'
import { mergePages } from '../../pull/overlay.ts'
import { keyOf, type LocalNamespace, localKey } from '../../pull/target.ts'
import { isGuarded } from '../../pull/verdicts.ts'
import type { OpenUpload } from '../../push/uploads.ts'
import type { Resolved, Resolver } from '../../resolve/resolve.ts'
import { localRegistry, type RepositoryKey } from '../../store/layout.ts'
import type { Store } from '../../store/store.ts'
import type { Exchange } from '../exchange.ts'

export interface InventoryDeps {
  readonly resolver: Resolver
  readonly repositories: Pick<Repositories, 'page' | 'of' | 'count'>
  readonly revisions: Pick<Revisions, 'page'>
  readonly holdings: Pick<Holdings, 'exists'>
  readonly store: Pick<Store, 'layout' | 'names'>
  /** Upload sessions, of one repository or of all. */
  readonly openUploads: (key?: RepositoryKey) => Promise<readonly OpenUpload[]>
}

export interface InventoryCall {
  readonly exchange: Exchange
  readonly deps: InventoryDeps
  /** The path up to `/v2/`, as the client wrote it, for links to further pages. */
  readonly base: string
  /** Entries of one page of a listing at most. */
  readonly pageLimit: number
  /** Whether who asks may know of the repository; undefined: of all of them. */
  readonly shows?: Shows | undefined
}

export type Seen = Pick<InventoryCall, 'deps' | 'shows' | 'exchange'>

export type Shows = (key: RepositoryKey) => Promise<boolean>

/** What the extension calls a repository: a registry that is mirrored, a local namespace, or both under one name. */
export interface Group {
  readonly name: string
  readonly registry: string | undefined
  readonly local: LocalNamespace | undefined
}

/** An OCI repository, by its name below the group's. */
export interface Namespace {
  readonly name: string
  /** Where its content is: more than one in an overlay. */
  readonly keys: readonly RepositoryKey[]
}

const batchSize = 1_000

export function groupsOf({ upstreams, locals }: Resolver): Group[] {
  const shown = upstreams.filter(({ upstream }) => upstream.options.access !== 'passthrough')
  const registries = shown.map(({ upstream }) => upstream.registry)
  const names = new Set([...registries, ...locals.map(({ name }) => name)])
  return [...names].sort().map(name => ({
    name,
    registry: registries.find(registry => registry === name),
    local: locals.find(local => local.name === name),
  }))
}

/** Where what a name stands for is kept; but for what is here of an upstream that decides for each caller. */
export function shownKeysOf(resolved: Resolved | undefined): RepositoryKey[] {
  const { local, upstream } = resolved ?? {}
  const shown = upstream && !isGuarded(upstream) ? [keyOf(upstream)] : []
  return [...(local ? [localKey(local)] : []), ...shown]
}

export async function countNamespaces(seen: Seen, group: Group): Promise<number> {
  const { deps, shows } = seen
  if (!shows && group.registry !== undefined && !group.local) return deps.repositories.count(group.registry)
  let count = 0
  for (let last: string | undefined; ; ) {
    const page = await namespaces(seen, group, { last, limit: batchSize })
    count += page.length
    last = page.at(-1)?.name
    if (page.length < batchSize) return count
    await othersTurn(seen)
  }
}

/** Those that who asks may know of, in byte order of their names. */
export async function namespaces(seen: Seen, group: Group, page: Page): Promise<Namespace[]> {
  const { deps, shows } = seen
  if (!shows) return allNamespaces(deps, group, page)
  const shown: Namespace[] = []
  for (let { last } = page; ; ) {
    const batch = await allNamespaces(deps, group, { last, limit: batchSize })
    for (const namespace of batch) {
      const visible = await Promise.all(namespace.keys.map(shows))
      if (visible.some(Boolean)) shown.push(namespace)
      if (shown.length === page.limit) return shown
    }
    last = batch.at(-1)?.name
    if (batch.length < batchSize) return shown
    await othersTurn(seen)
  }
}

/** Between two parts of a long listing. @throws when nobody waits for it any more */
export async function othersTurn({ exchange }: Pick<InventoryCall, 'exchange'>): Promise<void> {
  await setImmediate()
  if (exchange.response.destroyed) throw new Error('the client has left')
}

async function allNamespaces(deps: InventoryDeps, group: Group, page: Page): Promise<Namespace[]> {
  const pages = await Promise.all([held(deps, group, page), mirrored(deps, group, page)])
  const all = pages.flat()
  return mergePages(pages, ({ name }) => name, page.limit).map(({ name }) => ({
    name,
    keys: all.filter(other => other.name === name).flatMap(({ keys }) => keys),
  }))
}

async function mirrored(
  { repositories }: InventoryDeps,
  { registry }: Group,
  page: Page,
): Promise<Namespace[]> {
  if (registry === undefined) return []
  const names = await repositories.of(registry, page)
  return names.map(repository => ({ name: repository, keys: [{ registry, repository }] }))
}

/** Those of the names pushed here that fall to the group's namespace and to none before it. */
async function held(
  { repositories, resolver }: InventoryDeps,
  { name, local }: Group,
  { last, limit }: Page,
): Promise<Namespace[]> {
  if (!local) return []
  const root = local.match.startsWith(`${name}/`) ? `${name}/` : ''
  const [literal = ''] = local.match.split('*')
  const found: Namespace[] = []
  for (let at = laterOf(before(literal), last === undefined ? undefined : root + last); ; ) {
    const batch = await repositories.of(localRegistry, { last: at, limit: batchSize })
    for (const repository of batch) {
      if (!repository.startsWith(literal) && repository > literal) return found
      if (resolver.locals.find(({ match }) => matchesPattern(match, repository)) !== local) continue
      found.push({ name: repository.slice(root.length), keys: [{ registry: localRegistry, repository }] })
      if (found.length === limit) return found
    }
    at = batch.at(-1)
    if (batch.length < batchSize) return found
    await setImmediate()
  }
}

/** Comes before every name that begins so, and after as many others as possible; no name ends with a slash. */
function before(literal: string): string | undefined {
  return literal.endsWith('/') ? literal : literal.slice(0, -1) || undefined
}

function laterOf(one: string | undefined, other: string | undefined): string | undefined {
  if (one === undefined || other === undefined) return one ?? other
  return one > other ? one : other
}
