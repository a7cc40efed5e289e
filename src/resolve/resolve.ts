/** What a request's name means: a repository of an upstream, or of a local namespace. Nothing else decides this. */
import { RegistryError } from '../oci/errors.ts'
import { parseRepositoryName, type RepositoryName } from '../oci/name.ts'
import { matchesPattern } from '../oci/pattern.ts'
import type { CachePolicy, Target } from '../pull/target.ts'
import type { Upstream } from '../upstream/upstream.ts'

/** A registry that clients may name. */
export interface KnownUpstream {
  readonly upstream: Upstream
  readonly policy: CachePolicy
  readonly aliases: readonly string[]
  /** Also serves names that carry no registry. */
  readonly isDefault: boolean
}

export interface LocalNamespace {
  readonly name: string
  /** Pattern over names; its first component may be a registry. */
  readonly match: string
}

export interface RequestName {
  /** As `effectiveNs` gave it. */
  readonly ns: string | undefined
  /** A registry in front of `/v2/`, as in `/docker.io/v2/library/alpine/…`. */
  readonly prefix: string | undefined
  readonly name: string
}

export type Resolved =
  | { readonly kind: 'local'; readonly namespace: LocalNamespace; readonly repository: RepositoryName }
  | { readonly kind: 'upstream'; readonly target: Target }

/** Docker Hub keeps its official images under `library/`, which people leave out. */
const hub = 'docker.io'

export class Resolver {
  readonly #upstreams = new Map<string, KnownUpstream>()
  readonly #default: KnownUpstream | undefined
  readonly #hosts: ReadonlySet<string>
  readonly #locals: readonly LocalNamespace[]

  constructor(
    upstreams: readonly KnownUpstream[],
    locals: readonly LocalNamespace[],
    hosts: readonly string[],
  ) {
    for (const known of upstreams) {
      for (const name of [known.upstream.registry, ...known.aliases]) this.#upstreams.set(name, known)
    }
    this.#default = upstreams.find(({ isDefault }) => isDefault)
    this.#locals = locals
    this.#hosts = new Set(hosts)
  }

  /** Whether this is the name of a configured registry, so that it can stand in a path. */
  knows(registry: string): boolean {
    return this.#upstreams.has(registry)
  }

  /** The `ns` of a request, unless it is empty or one of our own names. */
  effectiveNs(ns: string | null): string | undefined {
    const host = ns?.toLowerCase()
    return host === undefined || host === '' || this.#hosts.has(host) ? undefined : host
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
    if (rest !== undefined && this.#upstreams.has(first)) return this.#named(first, rest)
    return this.#bare(parseRepositoryName(request.name))
  }

  #named(registry: string, name: string): Resolved {
    const known = this.#upstreams.get(registry)
    if (!known) throw unknownRegistry(registry, [...this.#upstreams.keys()])
    const given = parseRepositoryName(name)
    const full = withLibrary(known.upstream.registry, given)
    for (const repository of new Set([given, full, withoutLibrary(known.upstream.registry, full)])) {
      const local = this.#closed(known, repository)
      if (local) return local
    }
    const { upstream, policy } = known
    return { kind: 'upstream', target: { upstream, policy, repository: full } }
  }

  /** A local namespace in the place of a registry's: one that names it, or a bare one in front of the default. */
  #closed(known: KnownUpstream, repository: RepositoryName): Resolved | undefined {
    const { registry } = known.upstream
    const qualified = `${registry}/${repository}` as RepositoryName
    const naming = this.#locals.find(
      ({ match }) => match.startsWith(`${registry}/`) && matchesPattern(match, qualified),
    )
    if (naming) return { kind: 'local', namespace: naming, repository: qualified }
    const bare = known === this.#default ? this.#local(repository) : undefined
    return bare && { kind: 'local', namespace: bare, repository }
  }

  /** A local name never leaves for the default upstream: nobody out there can take its place. */
  #bare(repository: RepositoryName): Resolved {
    const namespace = this.#local(repository)
    if (namespace) return { kind: 'local', namespace, repository }
    if (this.#default) return this.#named(this.#default.upstream.registry, repository)
    throw new RegistryError(
      'NAME_UNKNOWN',
      `${repository} names no registry and none is configured as the default`,
    )
  }

  #local(name: string): LocalNamespace | undefined {
    return this.#locals.find(({ match }) => matchesPattern(match, name))
  }
}

/** `library/alpine` is what clients make of `alpine`. */
function withoutLibrary(registry: string, repository: RepositoryName): RepositoryName {
  const short = registry === hub ? repository.replace(/^library\//, '') : repository
  return short.includes('/') ? repository : parseRepositoryName(short)
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
