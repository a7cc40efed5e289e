/** What a request's name means: a repository of an upstream, of a local namespace, or both. Nothing else decides this. */
import { RegistryError } from '../oci/errors.ts'
import { isRepositoryName, parseRepositoryName, type RepositoryName } from '../oci/name.ts'
import { matchesPattern } from '../oci/pattern.ts'
import {
  type CachePolicy,
  keyOf,
  type Local,
  type LocalNamespace,
  localKey,
  type Target,
} from '../pull/target.ts'
import { isGuarded } from '../pull/verdicts.ts'
import { localRegistry, type RepositoryKey } from '../store/layout.ts'
import type { Upstream } from '../upstream/upstream.ts'

/** A registry that clients may name. */
export interface KnownUpstream {
  readonly upstream: Upstream
  readonly policy: CachePolicy
  readonly aliases: readonly string[]
  /** Also serves names that carry no registry. */
  readonly isDefault: boolean
}

export interface RequestName {
  /** As `effectiveNs` gave it. */
  readonly ns?: string | undefined
  /** A registry in front of `/v2/`, as in `/docker.io/v2/library/alpine/…`. */
  readonly prefix?: string | undefined
  readonly name: string
}

/** Both: an overlay, which reads look into first. A local name without an upstream is asked for nowhere else. */
export type Resolved =
  | { readonly local: Local; readonly upstream?: Target }
  | { readonly local?: undefined; readonly upstream: Target }

/** Docker Hub keeps its official images under `library/`, which people leave out. */
const hub = 'docker.io'

export class Resolver {
  readonly upstreams: readonly KnownUpstream[]
  readonly locals: readonly LocalNamespace[]
  /** By the registry's name and its aliases. */
  readonly #known = new Map<string, KnownUpstream>()
  readonly #default: KnownUpstream | undefined
  readonly #hosts: ReadonlySet<string>

  constructor(
    upstreams: readonly KnownUpstream[],
    locals: readonly LocalNamespace[],
    hosts: readonly string[],
  ) {
    for (const known of upstreams) {
      for (const name of [known.upstream.registry, ...known.aliases]) this.#known.set(name, known)
    }
    this.upstreams = upstreams
    this.locals = locals
    this.#default = upstreams.find(({ isDefault }) => isDefault)
    this.#hosts = new Set(hosts)
  }

  /** Whether this is the name of a configured registry, so that it can stand in a path. */
  knows(registry: string): boolean {
    return this.#known.has(registry)
  }

  /** The `ns` of a request, unless it is empty or one of our own names. */
  effectiveNs(ns: string | null): string | undefined {
    const host = ns?.toLowerCase()
    return host === undefined || host === '' || this.#hosts.has(host) ? undefined : host
  }

  /** The name under which every client can ask for it: `docker.io/library/nginx`, `local/team/app`. */
  fullName({ registry, repository }: RepositoryKey): string {
    return registry === localRegistry ? repository : `${registry}/${repository}`
  }

  /**
   * @throws RegistryError NAME_INVALID (400) for what is no repository name,
   *   NAME_UNKNOWN (404) for an `ns` that is not configured, which is never dialled, or for a name that belongs nowhere
   */
  resolve(request: RequestName): Resolved {
    const { ns } = request
    if (ns !== undefined) return this.#named(ns, withoutPrefix(request.name, ns))
    if (request.prefix !== undefined) return this.#named(request.prefix, request.name)
    const [first, rest] = splitFirst(request.name)
    if (rest !== undefined && this.#known.has(first)) return this.#named(first, rest)
    if (this.#default) return this.#named(this.#default.upstream.registry, request.name)
    return this.#withoutDefault(parseRepositoryName(request.name))
  }

  /** What a name alone stands for; undefined where it leads nowhere. */
  find(name: string): Resolved | undefined {
    try {
      return this.resolve({ name })
    } catch (error) {
      if (error instanceof RegistryError) return undefined
      throw error
    }
  }

  #named(registry: string, name: string): Resolved {
    const known = this.#known.get(registry)
    if (!known) throw unknownRegistry(registry, [...this.#known.keys()])
    const repository = parseRepositoryName(this.#withoutRegistry(known, name))
    const { upstream, policy } = known
    const target = () => ({ upstream, policy, repository: withLibrary(upstream.registry, repository) })
    const inner = known === this.#default ? this.#ofAnother(repository) : undefined
    if (inner) return inner
    const local = this.#local(known, repository)
    if (!local) return { upstream: target() }
    return local.namespace.overlay ? { local, upstream: target() } : { local }
  }

  #withoutDefault(repository: RepositoryName): Resolved {
    const local = this.#local(undefined, repository)
    if (local) return { local }
    throw new RegistryError(
      'NAME_UNKNOWN',
      `${repository} names no registry and none is configured as the default`,
    )
  }

  /** The registry's host may stand in front once more: ahead of an alias, or because a client repeats it. */
  #withoutRegistry(known: KnownUpstream, name: string): string {
    const [first, rest] = splitFirst(name)
    const isRepeated = rest !== undefined && /[.:]/.test(first) && this.#known.get(first) === known
    return isRepeated ? this.#withoutRegistry(known, rest) : name
  }

  /** `ghcr.io/team/app` is a local name under the default registry too, where a pattern names ghcr.io. */
  #ofAnother(name: RepositoryName): Resolved | undefined {
    const [first, rest] = splitFirst(name)
    const known = this.#known.get(first)
    if (rest === undefined || !known || known === this.#default) return undefined
    const resolved = this.#named(known.upstream.registry, rest)
    return resolved.local && resolved
  }

  /**
   * The first namespace that takes the name, and the one name that the repository has in it however it was written.
   * A pattern that names a registry takes names of that registry; a bare one takes names of the default, so that
   * nobody out there can take their place.
   */
  #local(known: KnownUpstream | undefined, repository: RepositoryName): Local | undefined {
    const registry = known?.upstream.registry
    const bare = spellings(registry, repository)
    const qualified = bare.map(name => `${registry}/${name}` as RepositoryName)
    for (const namespace of this.locals) {
      const namesIt = registry !== undefined && namespace.match.startsWith(`${registry}/`)
      if (!namesIt && known !== this.#default) continue
      const names = namesIt ? qualified : bare
      const kept = names.find(name => matchesPattern(namespace.match, name))
      if (kept) return { namespace, repository: kept }
    }
    return undefined
  }
}

/**
 * The upstream decides for each caller, by the login that comes with the request: it is that upstream's and not ours. Under
 * a local name logins are ours, also where an upstream lies beneath: that one is asked as by nobody.
 */
export function isPassthrough({ local, upstream }: Resolved): boolean {
  return !local && isGuarded(upstream)
}

/** Where what a name stands for is kept, here first; empty where it leads nowhere. */
export function keysOf(resolved: Resolved | undefined): RepositoryKey[] {
  const { local, upstream } = resolved ?? {}
  return [...(local ? [localKey(local)] : []), ...(upstream ? [keyOf(upstream)] : [])]
}

/** `library/alpine` is what clients make of `alpine`: two names of one repository, the full one first. */
function spellings(registry: string | undefined, repository: RepositoryName): RepositoryName[] {
  if (registry !== hub) return [repository]
  const short = repository.replace(/^library\//, '')
  if (short.includes('/')) return [repository]
  return [`library/${short}`, short].filter(isRepositoryName)
}

function withLibrary(registry: string, repository: RepositoryName): RepositoryName {
  return registry === hub && !repository.includes('/')
    ? parseRepositoryName(`library/${repository}`)
    : repository
}

/** BuildKit and k3s put the registry in front of the name although they send it as `ns` too. */
function withoutPrefix(name: string, ns: string): string {
  return name.startsWith(`${ns}/`) ? name.slice(ns.length + 1) : name
}

function splitFirst(name: string): [first: string, rest: string | undefined] {
  const slash = name.indexOf('/')
  return slash < 0 ? [name, undefined] : [name.slice(0, slash), name.slice(slash + 1)]
}

function unknownRegistry(registry: string, known: readonly string[]): RegistryError {
  const shown = registry.slice(0, 100).replaceAll(/[^\w.:[\]-]/g, '?')
  return new RegistryError('NAME_UNKNOWN', `the registry ${shown} is not configured here as an upstream`, {
    detail: { known },
  })
}
