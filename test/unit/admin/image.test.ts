/** Names of images, as clients write them. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseImage } from '../../../src/admin/image.ts'
import { RegistryError } from '../../../src/oci/errors.ts'
import type { CachePolicy } from '../../../src/pull/target.ts'
import { Resolver } from '../../../src/resolve/resolve.ts'
import type { Upstream } from '../../../src/upstream/upstream.ts'
import { local } from '../../support/local.ts'

const upstream = (registry: string, isDefault = false) => ({
  upstream: { registry } as Upstream,
  policy: {} as CachePolicy,
  aliases: [],
  isDefault,
})
const resolver = new Resolver(
  [upstream('docker.io', true), upstream('registry.test:5000')],
  [local({ name: 'local', match: 'local/**' })],
  [],
)
const digest = `sha256:${'ab'.repeat(32)}`

describe('the name of an image', () => {
  test.each([
    ['alpine', 'library/alpine', undefined],
    ['alpine:3.20', 'library/alpine', { kind: 'tag', tag: '3.20' }],
    ['docker.io/org/app:v1', 'org/app', { kind: 'tag', tag: 'v1' }],
    ['registry.test:5000/app', 'app', undefined],
    ['registry.test:5000/app:v1', 'app', { kind: 'tag', tag: 'v1' }],
    [`registry.test:5000/app@${digest}`, 'app', { kind: 'digest', digest }],
    [`registry.test:5000/app:v1@${digest}`, 'app', { kind: 'digest', digest }],
  ])('%s', (text, repository, reference) => {
    expect(parseImage(text, resolver)).toMatchObject({ resolved: { upstream: { repository } }, reference })
  })

  test('of a local namespace leads there', () => {
    expect(parseImage('local/app:v1', resolver).resolved).toMatchObject({
      local: { repository: 'local/app' },
    })
  })

  test('is read or refused, whatever it is', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[a0.:/@_A-]*$/)), text => {
        try {
          parseImage(text, resolver)
        } catch (error) {
          expect(error).toBeInstanceOf(RegistryError)
        }
      }),
    )
  })
})
