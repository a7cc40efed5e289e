/** Which events of the file system concern the configuration. */
import { expect, test } from 'vitest'
import { classify } from '../../../src/config/classify.ts'

const files = new Set(['/etc/layover/upstreams.yaml', '/run/secrets/hub'])

test.each([
  ['the file itself', '/etc/layover', 'upstreams.yaml', 'file'],
  ['a secret', '/run/secrets', 'hub', 'file'],
  ['a ConfigMap that Kubernetes replaced', '/etc/layover', '..data', 'swap'],
  ['the preparation of that', '/etc/layover', '..2026_11_21_09_00_00.1', 'unrelated'],
  ["an editor's own file", '/etc/layover', '.upstreams.yaml.swp', 'unrelated'],
  ['a file of that name elsewhere', '/run/secrets', 'upstreams.yaml', 'unrelated'],
  ['an event that names nothing', '/etc/layover', null, 'file'],
])('%s', (_, folder, name, change) => expect(classify(folder, name, files)).toBe(change))
