/** `access: passthrough` in the configuration. */
import { writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { stringify } from 'yaml'
import { loadConfig } from '../../../src/config/load.ts'
import { tempDir } from '../../support/temp-dir.ts'

test.each([
  [
    'access: passthrough\n    credentials: {token: secret}',
    '4:18 upstreams[0].credentials: with `access: passthrough` callers bring their own: leave these out, or write `access: shared`',
  ],
  [
    'access: passthrough\n    shareWithEveryone: true',
    '4:24 upstreams[0].shareWithEveryone: with `access: passthrough` the upstream decides for each caller: leave it out',
  ],
  ['passthrough: {verdict: 5m}', '3:18 upstreams[0].passthrough: expected `access: passthrough` beside it'],
])('an upstream has credentials of ours or of its callers: %s', async (lines, problem) => {
  await using dir = await tempDir()
  const path = dir.join('upstreams.yaml')
  await writeFile(path, `upstreams:\n  - registry: ghcr.io\n    ${lines}\n`)
  await expect(loadConfig(path)).rejects.toMatchObject({ message: `${path}:${problem}` })
})

test('prints how an upstream lets its own users in so that it means the same', async () => {
  await using dir = await tempDir()
  const path = dir.join('upstreams.yaml')
  await writeFile(
    path,
    'upstreams: [{registry: a.test, access: passthrough, passthrough: {verdict: 0s, outage: 1h}}]',
  )
  const { config, redacted } = await loadConfig(path)
  expect(config.upstreams[0]).toMatchObject({
    options: { access: 'passthrough' },
    policy: { passthrough: { verdictMs: 0, outageMs: 3_600_000 } },
  })
  await writeFile(path, stringify(redacted))
  expect((await loadConfig(path)).config).toEqual(config)
})
