/** The rules for local namespaces among each other and with the upstreams. */
import { matchesPattern } from '../oci/pattern.ts'
import { hub, hubAliases } from './docker-hub.ts'
import type { Path } from './document.ts'

export interface Breach {
  path: Path
  message: string
}

interface Local {
  name?: string | undefined
  match?: string | undefined
  overlay?: boolean | undefined
}

interface Registry {
  registry?: string | undefined
  aliases: readonly (string | undefined)[]
  default?: boolean | undefined
}

export function unnamedLocals(locals: readonly (Local | undefined)[]): Breach[] {
  const taken = new Map<string, number>()
  return locals.flatMap((local, at): Breach[] => {
    if (local?.match === undefined) return []
    const name = local.name ?? defaultName(local.match)
    if (name === undefined) {
      return [
        {
          path: ['local', at],
          message: 'expected `name`, since `match` does not begin with a name of its own',
        },
      ]
    }
    const other = taken.get(name)
    if (other !== undefined)
      return [{ path: ['local', at], message: `expected another \`name\`: ${name} is local[${other}]` }]
    taken.set(name, at)
    return []
  })
}

/** The first component of a pattern, where it has no wildcard. */
export function defaultName(match: string): string | undefined {
  const [first = ''] = match.split('/')
  return first.includes('*') ? undefined : first
}

/**
 * The first pattern that matches has the name: a namespace that never gets one is a mistake, and a dangerous one where
 * the first is an overlay and the second was to keep its names in the house.
 */
export function shadowedLocals(
  locals: readonly (Local | undefined)[],
  upstreams: readonly Registry[],
): Breach[] {
  const places = locals.map(local => local?.match && placeOf(local.match, upstreams))
  return places.flatMap((place, at): Breach[] => {
    const earlier = places.slice(0, at).findIndex(other => place && other && covers(other, place))
    if (earlier < 0) return []
    return [
      {
        path: ['local', at, 'match'],
        message: `expected it in front of local[${earlier}], which takes all of its names`,
      },
    ]
  })
}

export function emptyOverlays(
  locals: readonly (Local | undefined)[],
  upstreams: readonly Registry[],
): Breach[] {
  return locals.flatMap((local, at): Breach[] => {
    if (local?.overlay !== true || local.match === undefined) return []
    if (placeOf(local.match, upstreams).registry !== undefined) return []
    const message =
      'expected an upstream behind it: `match` names none of them, and none is the default; leave it out, or name one as in docker.io/team/**'
    return [{ path: ['local', at, 'overlay'], message }]
  })
}

interface Place {
  /** Undefined where there is nothing to look through to. */
  registry: string | undefined
  pattern: string
}

/** A bare pattern is one of the default upstream's. */
function placeOf(match: string, upstreams: readonly Registry[]): Place {
  const [first = '', ...rest] = match.split('/')
  const named = rest.length > 0 ? upstreams.find(upstream => namesOf(upstream).includes(first)) : undefined
  if (named) return { registry: named.registry, pattern: rest.join('/') }
  return { registry: defaultOf(upstreams)?.registry, pattern: match }
}

function covers(first: Place, second: Place): boolean {
  return (
    first.registry === second.registry &&
    samplesOf(second.pattern).every(name => matchesPattern(first.pattern, name))
  )
}

/** Names that match a pattern, made of a character that only wildcards match, and as short and as deep as can be. */
function samplesOf(pattern: string): string[] {
  const any = '\0'
  const deep = Array.from({ length: 128 }, () => any).join('/')
  return [
    pattern.replaceAll('**/', '').replaceAll(/\*+/g, any),
    pattern.replaceAll(/\*+/g, any),
    pattern.replaceAll('**', deep).replaceAll('*', any),
  ]
}

function defaultOf(upstreams: readonly Registry[]): Registry | undefined {
  const said = upstreams.find(upstream => upstream.default === true)
  return said ?? upstreams.find(upstream => upstream.registry === hub && upstream.default === undefined)
}

function namesOf({ registry, aliases }: Registry): readonly (string | undefined)[] {
  return [registry, ...aliases, ...(registry === hub ? hubAliases : [])]
}
