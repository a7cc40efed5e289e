/** The rules between keys. They read loosely, so that a mistake elsewhere does not hide one of theirs. */
import { z } from 'zod'
import { nobodyComesIn } from './access/access-rules.ts'
import { hub, hubAliases } from './docker-hub.ts'
import { formatPath, type Path } from './document.ts'
import { belongTogether } from './identity.ts'
import { listenedTwice, looseListener, unusableClientRules, unusableIdentities } from './listener-rules.ts'
import { type Breach, emptyOverlays, shadowedLocals, unnamedLocals } from './local-rules.ts'

const maybe = <T>(type: z.ZodType<T>) => type.optional().catch(undefined)
const list = <T>(type: z.ZodType<T>) => z.array(maybe(type)).catch([])
const mapping = z.union([z.record(z.string(), z.unknown()), z.array(z.unknown()).min(1)])

const entry = z.object({
  registry: maybe(z.string()),
  url: maybe(z.string()),
  credentials: maybe(mapping),
  urls: maybe(z.array(maybe(z.object({ credentials: maybe(mapping) })))),
  aliases: list(z.string()),
  default: maybe(z.boolean()),
  access: maybe(z.string()),
  passthrough: maybe(mapping),
  allow: list(z.string()),
  deny: list(z.string()),
  shareWithEveryone: maybe(z.boolean()),
  policy: z.unknown().optional(),
  cert: maybe(z.string()),
  key: maybe(z.string()),
})

const identity = z.object({ cert: maybe(z.string()), key: maybe(z.string()) })

const redis = z.object({ url: maybe(z.string()), ca: maybe(z.string()), ...identity.shape })

const loose = z.object({
  access: z.unknown().optional(),
  index: maybe(redis),
  listen: z.unknown().optional(),
  listeners: list(looseListener),
  hosts: list(z.string()),
  upstreams: list(entry),
  local: list(
    z.object({
      name: maybe(z.string()),
      match: maybe(z.string()),
      overlay: maybe(z.boolean()),
      policy: z.unknown().optional(),
    }),
  ),
})

type Entry = z.output<typeof entry>

export function breaches(raw: unknown): Breach[] {
  const { access, index, listen, listeners, hosts, upstreams, local } = loose.parse(raw)
  const entries = [...upstreams.entries()].filter((pair): pair is [number, Entry] => pair[1] !== undefined)
  const registries = entries.map(([, upstream]) => upstream)
  return [
    ...listenedTwice(listen, listeners),
    ...unusableIdentities(listeners),
    ...unusableClientRules(listeners),
    ...(index ? unusableTls(index) : []),
    ...ambiguousNames(hosts, entries),
    ...secondDefaults(entries),
    ...entries.flatMap(([at, upstream]) => [
      ...misnamedHub(at, upstream),
      ...mixedForms(at, upstream),
      ...sharedByAccident(at, upstream),
      ...mixedAccess(at, upstream),
      ...brokenIdentity(['upstreams', at], upstream),
      ...prefixedPatterns(at, upstream),
      ...shortPatterns(at, upstream),
    ]),
    ...(access === undefined ? policiesForNobody({ upstreams, local }) : nobodyComesIn(access, listeners)),
    ...unnamedLocals(local),
    ...shadowedLocals(local, registries),
    ...emptyOverlays(local, registries),
  ]
}

type Guarded = readonly ({ policy?: unknown } | undefined)[]

/** Until somebody can log in everybody may pull, and only the machine itself may push. */
function policiesForNobody(lists: Readonly<Record<string, Guarded>>): Breach[] {
  const message =
    'expected a section `access` beside it: without one nobody logs in, and no policy is asked; `access: {policy: anonymous-pull}` is the least'
  return Object.entries(lists).flatMap(([key, entries]) =>
    entries.flatMap((each, at) =>
      each?.policy === undefined ? [] : [{ path: [key, at, 'policy'], message }],
    ),
  )
}

const isOtherNameOfHub = ({ registry = '' }: Entry) => hubAliases.includes(registry)

function misnamedHub(at: number, upstream: Entry): Breach[] {
  if (!isOtherNameOfHub(upstream)) return []
  return [
    {
      path: ['upstreams', at, 'registry'],
      message: `expected docker.io: Docker Hub goes by that name here, ${upstream.registry} is known as another`,
    },
  ]
}

/** A name leads to one place only. */
function ambiguousNames(
  hosts: readonly (string | undefined)[],
  entries: readonly [number, Entry][],
): Breach[] {
  const claims = [
    ...entries.filter(([, upstream]) => !isOtherNameOfHub(upstream)).flatMap(claimsOf),
    ...hosts.map((name, nth) => ({ name, path: ['hosts', nth] })),
  ]
  const taken = new Map<string, Path>()
  const collisions = new Map<string, Breach>()
  for (const { name, path } of claims) {
    if (name === undefined) continue
    const other = taken.get(name)
    const key = formatPath(path)
    if (!other) taken.set(name, path)
    // The other names of a registry that stands here twice collide as well, which is no news.
    else if (!collisions.has(key))
      collisions.set(key, { path, message: `${name} is taken by ${formatPath(other)}` })
  }
  return [...collisions.values()]
}

/** Docker Hub's other names may be listed, and are its own if they are not. */
function claimsOf([at, { registry, aliases }]: [number, Entry]): { name: string | undefined; path: Path }[] {
  const path = ['upstreams', at, 'registry']
  const known = registry === hub ? hubAliases : []
  return [
    { name: registry, path },
    ...known.map(name => ({ name, path })),
    ...aliases
      .map((name, nth) => ({ name, path: ['upstreams', at, 'aliases', nth] }))
      .filter(({ name = '' }) => !known.includes(name)),
  ]
}

function secondDefaults(entries: readonly [number, Entry][]): Breach[] {
  const [first, ...more] = entries.filter(([, upstream]) => upstream.default === true)
  return more.map(([at]) => ({
    path: ['upstreams', at, 'default'],
    message: `upstreams[${String(first?.[0])}] is the default already; there is one at most`,
  }))
}

function mixedForms(at: number, { url, urls, credentials }: Entry): Breach[] {
  if (urls === undefined) return []
  const message = 'expected either `url` and `credentials`, or `urls` with credentials of their own'
  return Object.entries({ url, credentials })
    .filter(([, value]) => value !== undefined)
    .map(([key]) => ({ path: ['upstreams', at, key], message }))
}

/** Our credentials are not everybody's because nobody thought of it. */
function sharedByAccident(at: number, upstream: Entry): Breach[] {
  const { access, allow, shareWithEveryone } = upstream
  const path = credentialsIn(at, upstream)
  if (!path || access === passthrough || allow.length > 0 || shareWithEveryone === true) return []
  const message =
    'everybody who reaches Layover could pull what these can: list what may be pulled under `allow`, or write `shareWithEveryone: true`'
  return [{ path, message }]
}

const passthrough = 'passthrough'

/** Callers come with credentials of their own, or everybody with ours. */
function mixedAccess(at: number, upstream: Entry): Breach[] {
  const path = ['upstreams', at]
  if (upstream.access !== passthrough) {
    if (upstream.passthrough === undefined) return []
    return [{ path: [...path, passthrough], message: 'expected `access: passthrough` beside it' }]
  }
  const credentials = credentialsIn(at, upstream)
  const ours =
    'with `access: passthrough` callers bring their own: leave these out, or write `access: shared`'
  const everyone = 'with `access: passthrough` the upstream decides for each caller: leave it out'
  return [
    ...(credentials ? [{ path: credentials, message: ours }] : []),
    ...(upstream.shareWithEveryone ? [{ path: [...path, 'shareWithEveryone'], message: everyone }] : []),
  ]
}

/** Where the first of them stands. */
function credentialsIn(at: number, { credentials, urls = [] }: Entry): Path | undefined {
  if (credentials) return ['upstreams', at, 'credentials']
  const holder = urls.findIndex(url => url?.credentials !== undefined)
  return holder < 0 ? undefined : ['upstreams', at, 'urls', holder, 'credentials']
}

function unusableTls(index: z.output<typeof redis>): Breach[] {
  const isTls = index.url === undefined || index.url.startsWith('rediss')
  const message = 'expected a url that begins with rediss: without TLS nobody looks at it'
  const idle = (['ca', 'cert', 'key'] as const).filter(name => !isTls && index[name] !== undefined)
  return idle.length > 0
    ? idle.map(name => ({ path: ['index', name], message }))
    : brokenIdentity(['index'], index)
}

function brokenIdentity(at: Path, { cert, key }: z.output<typeof identity>): Breach[] {
  const present = cert === undefined ? 'key' : 'cert'
  const path = [...at, present]
  if ((cert === undefined) !== (key === undefined)) {
    return [
      {
        path,
        message: `expected ${present === 'key' ? '`cert`' : '`key`'} beside it: a client certificate needs both`,
      },
    ]
  }
  if (cert === undefined || key === undefined || belongTogether(cert, key)) return []
  return [{ path, message: 'expected the certificate of `key`, found one of another key' }]
}

/** Patterns are matched with the name at the upstream. */
function prefixedPatterns(at: number, { registry, aliases, allow, deny }: Entry): Breach[] {
  const names = [registry, ...aliases].filter(name => name !== undefined)
  return Object.entries({ allow, deny }).flatMap(([key, patterns]) =>
    patterns.flatMap((pattern, nth) => {
      const name = names.find(prefix => pattern?.startsWith(`${prefix}/`))
      if (name === undefined) return []
      return [
        {
          path: ['upstreams', at, key, nth],
          message: `expected a pattern without the registry: leave out ${name}/`,
        },
      ]
    }),
  )
}

/** Docker Hub's `alpine` is `library/alpine`: a pattern without a slash would match nothing, and deny nothing. */
function shortPatterns(at: number, { registry, allow, deny }: Entry): Breach[] {
  if (registry !== hub) return []
  return Object.entries({ allow, deny }).flatMap(([key, patterns]) =>
    patterns.flatMap((pattern, nth) => {
      if (pattern === undefined || pattern.includes('/') || pattern.includes('**')) return []
      return [
        {
          path: ['upstreams', at, key, nth],
          message: `expected a pattern with a slash, as every name on Docker Hub has one: library/${pattern}`,
        },
      ]
    }),
  )
}
