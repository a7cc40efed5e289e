/** The kubelet's rules for which credential is for which image. */
import { expect, test } from 'vitest'
import { bestKey, matches } from '../../../../src/upstream/credentials/image-match.ts'

test.each([
  ['*.dkr.ecr.*.amazonaws.com', '123456789012.dkr.ecr.eu-central-1.amazonaws.com/a', true],
  ['*.dkr.ecr.*.amazonaws.com', '123456789012.dkr.ecr.eu-central-1.amazonaws.com.cn/a', false],
  ['*.azurecr.io', 'a.b.azurecr.io/app', false],
  ['*', 'evil.test/a', false],
  ['*.test', 'evil.test/a', true],
  ['reg*.te*t', 'registry.test/a', true],
  ['r*g*y.test', 'registry.test/a', true],
  ['r*y*y.test', 'registry.test/a', false],
  ['re*egistry.test', 'registry.test/a', false],
  ['gcr.io/team', 'gcr.io/team/app', true],
  ['gcr.io/team', 'gcr.io/other/app', false],
  ['https://gcr.io/team/', 'gcr.io/team/app', true],
  ['registry.test:5000', 'registry.test:5000/a', true],
  ['registry.test', 'registry.test:5000/a', false],
  ['registry.test:5000', 'registry.test/a', false],
])('%s for %s: %s', (key, image, expected) => {
  expect(matches(key, image)).toBe(expected)
})

test('of several keys the more exact one counts', () => {
  const keys = ['*.test', 'registry.test', 'registry.test/team', 'registry.test/other']
  expect(bestKey(keys, 'registry.test/team/app')).toBe('registry.test/team')
  expect(bestKey(keys, 'registry.test/app')).toBe('registry.test')
  expect(bestKey(keys, 'mirror.test/app')).toBe('*.test')
  expect(bestKey(keys, 'mirror.example/app')).toBeUndefined()
})
