/** The reference in docs/ and the files that ship say what the schema says. */
import { readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { assert, asyncProperty, nat, string } from 'fast-check'
import { expect, test } from 'vitest'
import { readExample, referencePath, renderReference } from '../../../scripts/config-reference.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { ConfigError } from '../../../src/config/problem.ts'
import { runs } from '../../support/runs.ts'
import { tempDir } from '../../support/temp-dir.ts'

test('docs/reference/configuration.md is fresh: else run `npm run docs:reference`', () => {
  expect(readFileSync(referencePath, 'utf8')).toBe(renderReference())
})

test('every key has a kind of value and a meaning', () => {
  const rows = renderReference().match(/^\| `[a-zA-Z0-9[\].]+` \|.*(?=\|$)/gm) ?? []
  const cells = rows.map(row => row.split(' | ').map(cell => cell.replace(/^\| /, '').trim()))
  const keys = cells.filter(row => row.length === 4)
  expect(keys.length).toBeGreaterThan(70)
  expect(keys.filter(([, form, , meaning]) => form === '' || meaning === '')).toEqual([])
})

test('the example of the reference loads', async () => {
  await using dir = await tempDir()
  await mkdir(dir.join('secrets'))
  await writeFile(dir.join('secrets', 'hub'), 'x\n')
  await writeFile(dir.join('secrets', 'config.json'), '{}')
  await writeFile(dir.join('upstreams.yaml'), readExample())
  const { config } = await loadConfig(dir.join('upstreams.yaml'), { HUB_USER: 'corp', HARBOR_PASSWORD: 'x' })
  expect(config.upstreams.map(({ options }) => options.registry)).toEqual([
    'docker.io',
    'harbor.corp.example',
    'ghcr.io',
  ])
})

test('whatever is broken in it, the mistake is told and nothing else goes wrong', async () => {
  await using dir = await tempDir()
  const path = dir.join('upstreams.yaml')
  const example = readExample()
  const broken = asyncProperty(
    nat(example.length),
    nat(20),
    string({ unit: 'grapheme-ascii' }),
    async (at, cut, put) => {
      await writeFile(path, example.slice(0, at) + put + example.slice(at + cut))
      // The secrets are missing, so that every version has a mistake at least.
      await expect(loadConfig(path, {})).rejects.toThrow(ConfigError)
    },
  )
  await assert(broken, {
    ...runs(200),
    examples: [
      [0, 0, 'upstreams: &all [*all]\n---\n'],
      [0, example.length, 'upstreams: &all [*all]'],
    ],
  })
})

test('the configuration that ships mirrors the usual registries, with Docker Hub as the default', async () => {
  const { config } = await loadConfig('upstreams.yaml', {})
  expect(config.upstreams.map(({ options }) => options.registry)).toEqual([
    'docker.io',
    'ghcr.io',
    'quay.io',
    'registry.k8s.io',
    'gcr.io',
    'mcr.microsoft.com',
    'public.ecr.aws',
  ])
  expect(config.upstreams.findIndex(({ isDefault }) => isDefault)).toBe(0)
  expect(config.local).toEqual([
    {
      name: 'local',
      match: 'local/**',
      overlay: false,
      immutableTags: [],
      delete: true,
      missingReferences: 'accept',
      untaggedMs: Number.POSITIVE_INFINITY,
      retention: [],
    },
  ])
})
