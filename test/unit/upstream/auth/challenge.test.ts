import { expect, test } from 'vitest'
import { parseChallenges } from '../../../../src/upstream/auth/challenge.ts'

const read = (header: string | string[] | undefined) =>
  parseChallenges(header).map(({ scheme, params }) => ({ scheme, ...Object.fromEntries(params) }))

test("Docker Hub's challenge is read, commas inside the scope included", () => {
  const header =
    'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/alpine:pull,push"'
  expect(read(header)).toEqual([
    {
      scheme: 'bearer',
      realm: 'https://auth.docker.io/token',
      service: 'registry.docker.io',
      scope: 'repository:library/alpine:pull,push',
    },
  ])
})

test('several challenges in one header and in several headers are told apart, in any order and case', () => {
  expect(read(['BASIC realm="r", bearer Realm = "https://a/t" , Service=s', 'Negotiate'])).toEqual([
    { scheme: 'basic', realm: 'r' },
    { scheme: 'bearer', realm: 'https://a/t', service: 's' },
    { scheme: 'negotiate' },
  ])
})

test('values without quotes are read, commas of an unquoted scope included', () => {
  expect(
    read('Bearer realm=https://nvcr.io/proxy_auth,scope=repository:nvidia/cuda:pull,push,service=x'),
  ).toEqual([
    {
      scheme: 'bearer',
      realm: 'https://nvcr.io/proxy_auth',
      scope: 'repository:nvidia/cuda:pull,push',
      service: 'x',
    },
  ])
})

test('quoted pairs are unescaped', () => {
  expect(read(String.raw`Basic realm="a \"b\" c"`)).toEqual([{ scheme: 'basic', realm: 'a "b" c' }])
})

test('nothing, garbage and oversized headers are no challenge', () => {
  expect(read(undefined)).toEqual([])
  expect(read('"=,;==')).toEqual([])
  expect(read(`Bearer realm="${'x'.repeat(20_000)}"`)).toEqual([])
})
