/** Names: which upstream or local namespace a request means, in every form clients write it. */
import { array, assert, constantFrom, option, property, record, shuffledSubarray } from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { RepositoryName } from '../../../src/oci/name.ts'
import type { CachePolicy } from '../../../src/pull/target.ts'
import { type KnownUpstream, Resolver } from '../../../src/resolve/resolve.ts'
import { localRegistry } from '../../../src/store/layout.ts'
import type { Upstream } from '../../../src/upstream/upstream.ts'
import { local } from '../../support/local.ts'
import { runs } from '../../support/runs.ts'

function known(registry: string, { aliases = [] as string[], isDefault = false } = {}): KnownUpstream {
  return { upstream: { registry } as Upstream, policy: {} as CachePolicy, aliases, isDefault }
}

const upstreams = [
  known('docker.io', { aliases: ['index.docker.io', 'registry-1.docker.io'], isDefault: true }),
  known('ghcr.io'),
  known('registry.corp:5000'),
]
const hosts = ['mirror.corp', 'mirror.corp:8080']

interface Asked {
  name: string
  ns?: string | null
  prefix?: string
  /** With a `+` in front: an overlay. */
  locals?: string[]
  registries?: KnownUpstream[]
}

/** `<registry>: <repository>`, `local: <repository>`, both with a comma, or the error's code. */
function resolved({ name, ns = null, prefix, locals = ['local/**'], registries = upstreams }: Asked): string {
  const namespaces = locals.map(text =>
    local({ name: text, match: text.replace('+', ''), overlay: text.startsWith('+') }),
  )
  const resolver = new Resolver(registries, namespaces, hosts)
  try {
    const found = resolver.resolve({ ns: resolver.effectiveNs(ns), prefix, name })
    const here = found.local && `local: ${found.local.repository}`
    const there = found.upstream && `${found.upstream.upstream.registry}: ${found.upstream.repository}`
    return [here, there].filter(part => part !== undefined).join(', ')
  } catch (error) {
    return (error as { code: string }).code
  }
}

describe('a name', () => {
  test.each<[string, Asked, string]>([
    [
      'containerd names the registry apart',
      { name: 'library/alpine', ns: 'docker.io' },
      'docker.io: library/alpine',
    ],
    ['containerd names another registry', { name: 'org/app', ns: 'ghcr.io' }, 'ghcr.io: org/app'],
    [
      'a registry with a port',
      { name: 'team/app', ns: 'registry.corp:5000' },
      'registry.corp:5000: team/app',
    ],
    [
      'regclient names an alias',
      { name: 'library/alpine', ns: 'registry-1.docker.io' },
      'docker.io: library/alpine',
    ],
    [
      'BuildKit names it twice',
      { name: 'docker.io/library/alpine', ns: 'docker.io' },
      'docker.io: library/alpine',
    ],
    ['k3s names it twice', { name: 'ghcr.io/org/app', ns: 'ghcr.io' }, 'ghcr.io: org/app'],
    [
      'an ns in front of another registry is believed',
      { name: 'ghcr.io/org/app', ns: 'docker.io' },
      'docker.io: ghcr.io/org/app',
    ],
    ['an ns wins over a prefix', { name: 'org/app', ns: 'ghcr.io', prefix: 'docker.io' }, 'ghcr.io: org/app'],
    ['an empty ns counts as none', { name: 'org/app', ns: '' }, 'docker.io: org/app'],
    ['our own name as ns counts as none', { name: 'ghcr.io/org/app', ns: 'mirror.corp' }, 'ghcr.io: org/app'],
    [
      'our own name with a port as ns too',
      { name: 'alpine', ns: 'mirror.corp:8080' },
      'docker.io: library/alpine',
    ],
    ['a prefix', { name: 'org/app', prefix: 'ghcr.io' }, 'ghcr.io: org/app'],
    ['an alias as prefix', { name: 'alpine', prefix: 'index.docker.io' }, 'docker.io: library/alpine'],
    ['podman puts it into the name', { name: 'ghcr.io/org/app' }, 'ghcr.io: org/app'],
    ['with a port in the name', { name: 'registry.corp:5000/app' }, 'registry.corp:5000: app'],
    ['an alias in the name', { name: 'registry-1.docker.io/alpine' }, 'docker.io: library/alpine'],
    ['nothing of a registry', { name: 'org/app' }, 'docker.io: org/app'],
    ['one part of Docker Hub', { name: 'alpine' }, 'docker.io: library/alpine'],
    ['one part of Docker Hub in path form', { name: 'docker.io/alpine' }, 'docker.io: library/alpine'],
    ['library twice is left alone', { name: 'library/library' }, 'docker.io: library/library'],
    ['one part of another registry', { name: 'ghcr.io/app' }, 'ghcr.io: app'],
    ['a registry alone is a repository', { name: 'ghcr.io' }, 'docker.io: library/ghcr.io'],
    [
      'a registry not configured goes to the default',
      { name: 'quay.io/org/app' },
      'docker.io: quay.io/org/app',
    ],
    [
      'a name like words of the API',
      { name: 'ghcr.io/manifests/blobs/tags' },
      'ghcr.io: manifests/blobs/tags',
    ],
  ])('%s', (_, asked, expected) => {
    expect(resolved(asked)).toBe(expected)
  })

  test.each<[string, Asked, string]>([
    ['an ns not configured', { name: 'org/app', ns: 'quay.io' }, 'NAME_UNKNOWN'],
    ['an address as ns', { name: 'org/app', ns: '169.254.169.254' }, 'NAME_UNKNOWN'],
    ['a URL as ns', { name: 'org/app', ns: 'http://10.0.0.1:5000' }, 'NAME_UNKNOWN'],
    ['a property of objects as ns', { name: 'org/app', ns: '__proto__' }, 'NAME_UNKNOWN'],
    ['no default', { name: 'org/app', registries: [known('ghcr.io')] }, 'NAME_UNKNOWN'],
    ['upper case', { name: 'Org/app' }, 'NAME_INVALID'],
    ['upper case after the registry', { name: 'ghcr.io/Org/app' }, 'NAME_INVALID'],
    ['nothing after the registry', { name: 'ghcr.io/' }, 'NAME_INVALID'],
    ['nothing after the ns', { name: 'ghcr.io/', ns: 'ghcr.io' }, 'NAME_INVALID'],
    ['a way out', { name: 'ghcr.io/../../etc' }, 'NAME_INVALID'],
    ['an unknown registry with a port', { name: 'other.corp:5000/app' }, 'NAME_INVALID'],
    ['too long', { name: 'a'.repeat(256) }, 'NAME_INVALID'],
    ['too long once library/ is added', { name: 'a'.repeat(250) }, 'NAME_INVALID'],
  ])('is refused for %s', (_, asked, expected) => {
    expect(resolved(asked)).toBe(expected)
  })

  test('a refusal of an ns tells what is configured, and repeats nothing that could do harm', () => {
    const resolver = new Resolver(upstreams, [], [])
    const ask = () => resolver.resolve({ ns: `<b>"\r\n${'x'.repeat(5_000)}`, prefix: undefined, name: 'a' })
    expect(ask).toThrow(
      expect.objectContaining({ details: [{ known: expect.arrayContaining(['ghcr.io']) }] }),
    )
    expect(ask).toThrow(expect.objectContaining({ message: expect.not.stringMatching(/[<"\r\n]/) }))
    expect(ask).toThrow(expect.objectContaining({ message: expect.stringMatching(/^.{1,200}$/) }))
  })
})

describe('a local pattern', () => {
  test.each<[string, Asked, string]>([
    ['a bare name', { name: 'local/app' }, 'local: local/app'],
    ['under the default registry as ns', { name: 'local/app', ns: 'docker.io' }, 'local: local/app'],
    ['under an alias of it', { name: 'local/app', ns: 'registry-1.docker.io' }, 'local: local/app'],
    ['under the default registry in the name', { name: 'docker.io/local/app' }, 'local: local/app'],
    ['under the default registry as prefix', { name: 'local/app', prefix: 'docker.io' }, 'local: local/app'],
    ['behind our own name as ns', { name: 'local/app', ns: 'mirror.corp' }, 'local: local/app'],
    ['named like one part of Docker Hub', { name: 'alpine', locals: ['*'] }, 'local: alpine'],
    [
      'closing library/ for short names too',
      { name: 'alpine', locals: ['library/**'] },
      'local: library/alpine',
    ],
    [
      'of one component, which clients send with library/',
      { name: 'library/team', ns: 'docker.io', locals: ['team'] },
      'local: team',
    ],
    [
      'closing library/ of the named registry for short names too',
      { name: 'alpine', ns: 'docker.io', locals: ['docker.io/library/**'] },
      'local: docker.io/library/alpine',
    ],
    [
      'naming a registry',
      { name: 'team/app', ns: 'ghcr.io', locals: ['ghcr.io/team/**'] },
      'local: ghcr.io/team/app',
    ],
    [
      'naming a registry in the name',
      { name: 'ghcr.io/team/app', locals: ['ghcr.io/team/**'] },
      'local: ghcr.io/team/app',
    ],
    [
      'naming the default for a bare name',
      { name: 'team/app', locals: ['docker.io/team/**'] },
      'local: docker.io/team/app',
    ],
    [
      'naming a registry with a port',
      { name: 'app', ns: 'registry.corp:5000', locals: ['registry.corp:5000/*'] },
      'local: registry.corp:5000/app',
    ],
    ['of any depth', { name: 'a/b/c', locals: ['**'] }, 'local: a/b/c'],
    ['first come first', { name: 'team/app', locals: ['team/app', 'team/**'] }, 'local: team/app'],
  ])('takes %s', (_, asked, expected) => {
    expect(resolved(asked)).toBe(expected)
  })

  test.each<[string, Asked, string]>([
    ['another registry', { name: 'local/app', ns: 'ghcr.io' }, 'ghcr.io: local/app'],
    [
      'another registry, though it matches any name',
      { name: 'team/app', ns: 'ghcr.io', locals: ['**', '*/team/**'] },
      'ghcr.io: team/app',
    ],
    ['names that only begin alike', { name: 'locals/app' }, 'docker.io: locals/app'],
    ['the bare component', { name: 'local' }, 'docker.io: library/local'],
    [
      'the same name of a registry it does not name',
      { name: 'team/app', locals: ['ghcr.io/team/**'] },
      'docker.io: team/app',
    ],
  ])('leaves %s alone', (_, asked, expected) => {
    expect(resolved(asked)).toBe(expected)
  })
})

test('only configured registries and their aliases can stand in a path', () => {
  const resolver = new Resolver(upstreams, [local({ name: 'x', match: 'x/**' })], hosts)
  for (const name of ['docker.io', 'index.docker.io', 'registry.corp:5000'])
    expect(resolver.knows(name)).toBe(true)
  for (const name of ['', 'quay.io', 'mirror.corp', 'x', 'constructor', 'DOCKER.IO'])
    expect(resolver.knows(name)).toBe(false)
})

/** Every way to write a repository of the default registry, which is Docker Hub. */
function spellings(name: string): Asked[] {
  const registries = ['docker.io', 'index.docker.io', 'registry-1.docker.io']
  return [
    { name },
    { name, ns: '' },
    ...hosts.map(ns => ({ name, ns })),
    { name, ns: 'Docker.IO' },
    { name, ns: 'INDEX.docker.io' },
    ...registries.flatMap(registry => [
      { name, ns: registry },
      { name, prefix: registry },
      { name: `${registry}/${name}` },
      { name: `${registry}/${name}`, ns: 'mirror.corp' },
      // Said twice and three times, and not by the same name.
      ...registries.flatMap(other => [
        { name: `${other}/${name}`, ns: registry },
        { name: `${other}/${name}`, prefix: registry },
        { name: `${registry}/${other}/${name}` },
        { name: `${registry}/${other}/${name}`, ns: 'docker.io' },
      ]),
    ]),
  ]
}

function answers(asked: readonly Asked[], locals: string[]): string[] {
  return [...new Set(asked.map(each => resolved({ ...each, locals })))]
}

describe('a namespace without overlay never leaves, and has one name, however it is written', () => {
  test.each<[pattern: string, name: string, kept: string]>([
    ['local/**', 'local/app', 'local/app'],
    ['local/**', 'local/a/b/c', 'local/a/b/c'],
    ['docker.io/team/**', 'team/app', 'docker.io/team/app'],
    ['**', 'team/app', 'team/app'],
    ['*/*', 'team/app', 'team/app'],
    ['**', 'library/alpine', 'library/alpine'],
    ['**', 'alpine', 'library/alpine'],
    ['library/**', 'alpine', 'library/alpine'],
    ['library/*', 'library/alpine', 'library/alpine'],
    ['*', 'alpine', 'alpine'],
    ['*', 'library/alpine', 'alpine'],
    ['alpine', 'library/alpine', 'alpine'],
    ['docker.io/*', 'alpine', 'docker.io/alpine'],
    ['docker.io/*', 'library/alpine', 'docker.io/alpine'],
    ['docker.io/**', 'alpine', 'docker.io/library/alpine'],
    ['docker.io/library/alpine', 'alpine', 'docker.io/library/alpine'],
  ])('%s: %s', (pattern, name, kept) => {
    expect(answers(spellings(name), [pattern])).toEqual([`local: ${kept}`])
    // Overlays and namespaces of others around it change nothing about that.
    const others = ['+other/**', '+ghcr.io/**', pattern, '+docker.io/**', '+**']
    expect(answers(spellings(name), others)).toEqual([`local: ${kept}`])
  })

  test('nor does one of another registry', () => {
    const asked: Asked[] = [
      { name: 'team/app', ns: 'ghcr.io' },
      { name: 'team/app', ns: 'GHCR.io' },
      { name: 'team/app', prefix: 'ghcr.io' },
      { name: 'ghcr.io/team/app' },
      { name: 'ghcr.io/team/app', ns: 'ghcr.io' },
      { name: 'ghcr.io/team/app', ns: 'docker.io' },
      { name: 'ghcr.io/team/app', ns: 'registry-1.docker.io' },
      { name: 'ghcr.io/team/app', ns: 'mirror.corp' },
      { name: 'ghcr.io/team/app', prefix: 'ghcr.io' },
      { name: 'ghcr.io/team/app', prefix: 'docker.io' },
      { name: 'docker.io/ghcr.io/team/app' },
      { name: 'ghcr.io/ghcr.io/team/app' },
      { name: 'index.docker.io/docker.io/ghcr.io/ghcr.io/team/app' },
    ]
    expect(answers(asked, ['ghcr.io/team/**'])).toEqual(['local: ghcr.io/team/app'])
    expect(answers(asked, ['+**', 'ghcr.io/team/**'])).toEqual(['local: ghcr.io/team/app'])
  })

  test('nor a bare one when no registry is the default', () => {
    const registries = [known('ghcr.io')]
    expect(resolved({ name: 'team/app', locals: ['team/**'], registries })).toBe('local: team/app')
    expect(resolved({ name: 'alpine', locals: ['*'], registries })).toBe('local: alpine')
    expect(resolved({ name: 'team/app', ns: 'quay.io', locals: ['team/**'], registries })).toBe(
      'NAME_UNKNOWN',
    )
  })

  test('what is no name of it is refused or goes its own way, but is never taken for one of its names', () => {
    for (const name of [
      'Local/app',
      'local//app',
      'local/../local/app',
      'local/app/',
      'LOCAL/app',
      'local/%61pp',
    ])
      expect(answers(spellings(name), ['local/**'])).toEqual(['NAME_INVALID'])
    for (const ns of ['docker.io.', 'docker.io:443', 'docker.io/', ' docker.io', 'https://docker.io'])
      expect(resolved({ name: 'local/app', ns })).toBe('NAME_UNKNOWN')
  })

  test('the first namespace that matches has the name, by whichever name it says it', () => {
    expect(answers(spellings('team/app'), ['team/**', '+docker.io/team/**'])).toEqual(['local: team/app'])
    expect(answers(spellings('team/app'), ['docker.io/team/**', '+team/**'])).toEqual([
      'local: docker.io/team/app',
    ])
  })
})

describe('an overlay', () => {
  test.each<[pattern: string, name: string, expected: string]>([
    ['team/**', 'team/app', 'local: team/app, docker.io: team/app'],
    ['docker.io/team/**', 'team/app', 'local: docker.io/team/app, docker.io: team/app'],
    ['library/**', 'alpine', 'local: library/alpine, docker.io: library/alpine'],
    ['*', 'alpine', 'local: alpine, docker.io: library/alpine'],
    ['docker.io/*', 'library/alpine', 'local: docker.io/alpine, docker.io: library/alpine'],
    ['**', 'a/b/c', 'local: a/b/c, docker.io: a/b/c'],
  ])('of %s lies over one repository, however %s is written', (pattern, name, expected) => {
    expect(answers(spellings(name), [`+${pattern}`])).toEqual([expected])
  })

  test.each<[string, Asked, string]>([
    [
      'lies over the registry that it names',
      { name: 'team/app', ns: 'ghcr.io', locals: ['+ghcr.io/team/**'] },
      'local: ghcr.io/team/app, ghcr.io: team/app',
    ],
    [
      'adds no library/ to names of other registries',
      { name: 'ghcr.io/app', locals: ['+ghcr.io/*'] },
      'local: ghcr.io/app, ghcr.io: app',
    ],
    [
      'lies over nothing without a default',
      { name: 'team/app', locals: ['+team/**'], registries: [known('ghcr.io')] },
      'local: team/app',
    ],
    [
      'with a bare pattern is not for other registries',
      { name: 'team/app', ns: 'ghcr.io', locals: ['+**', '+*/team/**'] },
      'ghcr.io: team/app',
    ],
    [
      'of one registry is not for the others',
      { name: 'team/app', locals: ['+ghcr.io/team/**'] },
      'docker.io: team/app',
    ],
    [
      'leaves the names to a closed namespace in front of it',
      { name: 'team/own/app', locals: ['team/own/**', '+team/**'] },
      'local: team/own/app',
    ],
  ])('%s', (_, asked, expected) => expect(resolved(asked)).toBe(expected))
})

test('any two ways of writing that end in one local repository agree on its namespace and on what lies under it', () => {
  const components = constantFrom('docker.io', 'index.docker.io', 'ghcr.io', 'corp', 'library', 'team', 'app')
  const names = array(components, { minLength: 1, maxLength: 5 }).map(parts => parts.join('/'))
  const registry = constantFrom('docker.io', 'index.docker.io', 'ghcr.io', 'corp')
  const matches = ['team/**', 'docker.io/team/**', 'ghcr.io/team/**', 'corp/**', 'corp/team/*', '*', '**']
  const asked = record({ name: names, ns: option(registry), prefix: option(registry, { nil: undefined }) })
  const registries = [...upstreams, known('corp')]
  const chosen = shuffledSubarray(matches, { minLength: 1 })
  const agree = property(chosen, array(asked, { minLength: 20, maxLength: 60 }), (patterns, requests) => {
    const namespaces = patterns.map((match, at) => local({ name: match, match, overlay: at % 2 === 0 }))
    const resolver = new Resolver(registries, namespaces, hosts)
    const seen = new Map<string, string>()
    for (const { name, ns, prefix } of requests) {
      const found = resolver.resolve({ ns: resolver.effectiveNs(ns), prefix, name })
      if (!found.local) continue
      const { namespace, repository } = found.local
      const under = found.upstream && `${found.upstream.upstream.registry}/${found.upstream.repository}`
      if (!namespace.overlay) expect(under).toBeUndefined()
      const meant = `${namespace.name} over ${under}`
      expect(`${repository}: ${meant}`).toBe(`${repository}: ${seen.get(repository) ?? meant}`)
      seen.set(repository, meant)
    }
  })
  assert(agree, runs(300))
})

test('a repository has a full name, under which it is found again', () => {
  const namespaces = ['local/**', 'docker.io/team/**'].map(match => local({ name: match, match }))
  const resolver = new Resolver(upstreams, namespaces, hosts)
  const full = (registry: string, repository: string) =>
    resolver.fullName({ registry, repository: repository as RepositoryName })
  expect(full('docker.io', 'library/nginx')).toBe('docker.io/library/nginx')
  expect(full(localRegistry, 'local/team/app')).toBe('local/team/app')
  expect(full(localRegistry, 'docker.io/team/app')).toBe('docker.io/team/app')
  for (const repository of ['local/team/app', 'docker.io/team/app']) {
    const name = full(localRegistry, repository)
    expect(resolver.resolve({ ns: undefined, prefix: undefined, name }).local?.repository).toBe(repository)
  }
  expect([resolver.upstreams, resolver.locals]).toEqual([upstreams, namespaces])
})
