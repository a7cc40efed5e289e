/** Paths: what is asked, read from the right end. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseRoute } from '../../../src/edge/route.ts'

const digest = `sha256:${'ab'.repeat(32)}`
const registries = new Set(['docker.io', 'registry.corp:5000'])
const parse = (path: string) => parseRoute(path, name => registries.has(name))
const manifest = (name: string, reference = 'latest') => ({ kind: 'manifest', name, reference })
const blob = (name: string, text = digest) => ({ kind: 'blob', name, digest: text })

describe('a path of the distribution API', () => {
  test.each<[string, object]>([
    ['/v2', { kind: 'ping' }],
    ['/v2/', { kind: 'ping' }],
    ['/v2/_catalog', { kind: 'catalog' }],
    ['/v2/_oci/ext/discover', { kind: 'discover', name: undefined }],
    ['/v2/a/b/_oci/ext/discover', { kind: 'discover', name: 'a/b' }],
    ['/v2/_ext/_repositories', { kind: 'extension', what: 'repositories' }],
    ['/v2/_ext/docker.io/_namespaces', { kind: 'extension', what: 'namespaces', repository: 'docker.io' }],
    [
      '/v2/_ext/docker.io/library/nginx/_revisions',
      { kind: 'extension', what: 'revisions', name: 'docker.io/library/nginx' },
    ],
    ['/v2/_ext/local/a/_uploads', { kind: 'extension', what: 'uploads', name: 'local/a' }],
    ['/v2/_ext/a/manifests/b/_uploads', { kind: 'extension', what: 'uploads', name: 'a/manifests/b' }],
    ['/v2/a/manifests/latest', manifest('a')],
    [`/v2/a/b/c/manifests/${digest}`, manifest('a/b/c', digest)],
    [`/v2/a/blobs/${digest}`, blob('a')],
    ['/v2/a/tags/list', { kind: 'tags', name: 'a' }],
    [`/v2/a/referrers/${digest}`, { kind: 'referrers', name: 'a', subject: digest }],
    ['/v2/a/blobs/uploads', { kind: 'uploads', name: 'a', session: undefined }],
    ['/v2/a/blobs/uploads/', { kind: 'uploads', name: 'a', session: undefined }],
    ['/v2/a/blobs/uploads/0-1', { kind: 'uploads', name: 'a', session: '0-1' }],
    ['/v2/a/manifests/b/manifests/latest', manifest('a/manifests/b')],
    ['/v2/manifests/manifests/manifests', manifest('manifests', 'manifests')],
    ['/v2/a/blobs/manifests/latest', manifest('a/blobs')],
    [`/v2/a/manifests/blobs/${digest}`, blob('a/manifests')],
    ['/v2/a/blobs/uploads/manifests/latest', manifest('a/blobs/uploads')],
    [`/v2/uploads/blobs/${digest}`, blob('uploads')],
    ['/v2/tags/list/tags/list', { kind: 'tags', name: 'tags/list' }],
    ['/v2/tags/manifests/list', manifest('tags', 'list')],
    ['/v2/a/manifests/tags/list', { kind: 'tags', name: 'a/manifests' }],
    [`/v2/referrers/referrers/${digest}`, { kind: 'referrers', name: 'referrers', subject: digest }],
    [`/v2/a/blobs/${digest.replace(':', '%3A')}`, blob('a')],
    [`/v2/a/manifests/${digest.replace(':', '%3a')}`, manifest('a', digest)],
    ['/v2/registry.corp%3A5000/a/manifests/latest', manifest('registry.corp:5000/a')],
    ['/v2/docker.io/library/alpine/manifests/latest', manifest('docker.io/library/alpine')],
    ['/v2/a/manifests/%25', manifest('a', '%')],
    ['/v2/a%00b/manifests/latest', manifest('a\0b')],
  ])('%s', (path, operation) => {
    expect(parse(path)).toEqual({ prefix: undefined, base: '/v2/', operation })
  })

  test.each<[string, string, string, object]>([
    ['/docker.io/v2', 'docker.io', '/docker.io/v2/', { kind: 'ping' }],
    ['/docker.io/v2/', 'docker.io', '/docker.io/v2/', { kind: 'ping' }],
    [
      '/docker.io/v2/library/alpine/manifests/latest',
      'docker.io',
      '/docker.io/v2/',
      manifest('library/alpine'),
    ],
    ['/docker.io/library/alpine/manifests/latest', 'docker.io', '/docker.io/', manifest('library/alpine')],
    [`/docker.io/alpine/blobs/${digest.replace(':', '%3A')}`, 'docker.io', '/docker.io/', blob('alpine')],
    ['/docker.io/alpine/tags/list', 'docker.io', '/docker.io/', { kind: 'tags', name: 'alpine' }],
    ['/docker.io/v2x/manifests/latest', 'docker.io', '/docker.io/', manifest('v2x')],
    [
      '/registry.corp:5000/v2/a/manifests/latest',
      'registry.corp:5000',
      '/registry.corp:5000/v2/',
      manifest('a'),
    ],
    [
      '/registry.corp%3A5000/a/manifests/latest',
      'registry.corp:5000',
      '/registry.corp%3A5000/',
      manifest('a'),
    ],
  ])('with a registry in front: %s', (path, prefix, base, operation) => {
    expect(parse(path)).toEqual({ prefix, base, operation })
  })
})

describe('a path with tricks in it', () => {
  test.each([
    '/v2/a%2Fb/manifests/latest',
    '/v2/a%2fb/manifests/latest',
    '/v2/a%5Cb/manifests/latest',
    '/v2/a/manifests/..%2f..%2fetc',
    '/v2/../a/manifests/latest',
    '/v2/a/../manifests/latest',
    '/v2/%2e%2e/a/manifests/latest',
    '/v2/%2E./a/manifests/latest',
    '/v2/./a/manifests/latest',
    '/v2/a//manifests/latest',
    '/v2//a/manifests/latest',
    '/v2//',
    '/v2/a/manifests/..',
    '/v2/a/manifests/latest//',
    '/v2/a/manifests/%',
    '/v2/a/manifests/%ff',
    '/v2/a/manifests/%c0%af',
    `/v2/${'a/'.repeat(1_200)}manifests/latest`,
    '/docker.io/v2/../a/manifests/latest',
    '/docker.io/a%2Fb/manifests/latest',
    '/docker.io/../a/manifests/latest',
    '/docker.io/a//manifests/latest',
    `/docker.io/${'a'.repeat(2_100)}/manifests/latest`,
  ])('%s is refused with NAME_INVALID', path => {
    expect(() => parse(path)).toThrow(expect.objectContaining({ code: 'NAME_INVALID', status: 400 }))
  })

  test.each([
    '/v2/a',
    '/v2/manifests/latest',
    `/v2/blobs/${digest}`,
    '/v2/tags/list',
    '/v2/a/manifests',
    '/v2/a/manifests/',
    '/v2/a/manifests/latest/',
    '/v2/a/tags/list/',
    '/v2/a/tags/lists',
    '/v2/_catalog/',
    '/v2/_ext',
    '/v2/_ext/',
    '/v2/_ext/_namespaces',
    '/v2/_ext/a/_other',
    '/v2/_ext/a/manifests/latest',
    '/v2/_ext/_repositories/',
    '/v2/a/_ext/_repositories',
    '/v2/_oci/ext',
    '/docker.io/v2/a',
    '/v2/a%0Ab/manifests/latest',
  ])('%s names no operation: 404', path => {
    expect(() => parse(path)).toThrow(expect.objectContaining({ code: 'NAME_UNKNOWN', status: 404 }))
  })
})

describe('any other path', () => {
  test.each([
    '',
    '/',
    '/v2x',
    '/v1/',
    '/V2/',
    '//v2/',
    '/livez',
    '/metrics',
    '/ui/index.html',
    '/docker.io',
    '/docker.io/',
    '/docker.io/library/alpine',
    '/docker.io/..%2f..%2fetc/passwd',
    '/quay.io/v2/',
    '/quay.io/a/manifests/latest',
    '/%ff/v2/',
    `/${'a'.repeat(300)}/v2/`,
    'http://mirror.corp/v2/',
    '*',
  ])('%j is none of the API', path => {
    expect(parse(path)).toBeUndefined()
  })
})

test('every name and reference comes out as it was put in', () => {
  const component = fc.stringMatching(/^[a-z0-9]{1,5}$/)
  const word = fc.constantFrom('manifests', 'blobs', 'tags', 'uploads', 'referrers', 'list', 'v2')
  const names = fc
    .array(fc.oneof(component, word), { minLength: 1, maxLength: 6 })
    .map(components => components.join('/'))
  fc.assert(
    fc.property(names, component, (name, tag) => {
      expect(parse(`/v2/${name}/manifests/${tag}`)?.operation).toEqual(manifest(name, tag))
      expect(parse(`/v2/${name}/blobs/${digest}`)?.operation).toEqual(blob(name))
      expect(parse(`/v2/${name}/tags/list`)?.operation).toEqual({ kind: 'tags', name })
      expect(parse(`/docker.io/v2/${name}/manifests/${tag}`)).toMatchObject({
        prefix: 'docker.io',
        operation: manifest(name, tag),
      })
    }),
  )
})

test('no path makes it fail in another way', () => {
  const piece = fc.constantFrom(
    '/',
    'v2',
    '..',
    '%2f',
    '%',
    '%00',
    'manifests',
    'docker.io',
    'a',
    'blobs',
    'uploads',
    'é',
  )
  fc.assert(
    fc.property(fc.array(piece), pieces => {
      try {
        parse(`/${pieces.join('')}`)
      } catch (error) {
        expect(error).toMatchObject({ name: 'RegistryError' })
      }
    }),
  )
})
