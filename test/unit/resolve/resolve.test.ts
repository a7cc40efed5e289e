/** Names: which upstream or local namespace a request means, in every form clients write it. */
import { describe, expect, test } from 'vitest'
import type { CachePolicy } from '../../../src/pull/target.ts'
import { type KnownUpstream, type LocalNamespace, Resolver } from '../../../src/resolve/resolve.ts'
import type { Upstream } from '../../../src/upstream/upstream.ts'

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
  locals?: string[]
  registries?: KnownUpstream[]
}

/** `<registry>: <repository>`, `local: <repository>`, or the error's code. */
function resolved({ name, ns = null, prefix, locals = ['local/**'], registries = upstreams }: Asked): string {
  const namespaces = locals.map((match): LocalNamespace => ({ name: match, match }))
  const resolver = new Resolver(registries, namespaces, hosts)
  try {
    const found = resolver.resolve({ ns: resolver.effectiveNs(ns), prefix, name })
    if (found.kind === 'local') return `local: ${found.repository}`
    return `${found.target.upstream.registry}: ${found.target.repository}`
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
    expect(ask).toThrow(expect.objectContaining({ detail: { known: expect.arrayContaining(['ghcr.io']) } }))
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
  const resolver = new Resolver(upstreams, [{ name: 'x', match: 'x/**' }], hosts)
  for (const name of ['docker.io', 'index.docker.io', 'registry.corp:5000'])
    expect(resolver.knows(name)).toBe(true)
  for (const name of ['', 'quay.io', 'mirror.corp', 'x', 'constructor', 'DOCKER.IO'])
    expect(resolver.knows(name)).toBe(false)
})
