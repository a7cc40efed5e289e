/** regctl: an image with the artifacts that refer to it, found by the referrers API or by the fallback tag. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import type { Registry } from './origin.ts'
import { layoutDigests, repository, Site, tag } from './site.ts'
import { run, testWith } from './tools.ts'

const artifactType = 'application/spdx+json'

function regctlAt(registry: Registry, home: string) {
  return (...args: string[]) =>
    run('regctl', ['--host', `reg=${registry.address},tls=disabled`, ...args], home)
}

async function attachArtifact(site: Site): Promise<void> {
  const home = await site.folder('artifact')
  const file = join(home, 'sbom.json')
  await writeFile(file, '{"spdxVersion":"SPDX-2.3"}')
  const subject = `${site.origin.address}/${repository}:${tag}`
  const type = ['--artifact-type', artifactType, '--file-media-type', artifactType]
  await regctlAt(site.origin, home)('artifact', 'put', ...type, '--subject', subject, '--file', file)
}

async function visit(registry: Registry, home: string) {
  const regctl = regctlAt(registry, home)
  const name = `${registry.address}/${registry.namespace}${repository}`
  const layout = join(home, 'layout')
  await regctl('image', 'copy', '--referrers', `${name}:${tag}`, `ocidir://${layout}:${tag}`)
  const referrers = await regctl('artifact', 'list', '--format', '{{json .Descriptors}}', `${name}:${tag}`)
  return {
    digest: (await regctl('image', 'digest', `${name}:${tag}`)).trim(),
    tags: (await regctl('tag', 'ls', name)).split('\n').filter(Boolean),
    referrers: JSON.parse(referrers) as unknown,
    content: await layoutDigests(layout),
  }
}

describe('regctl', () => {
  testWith(
    ['docker-registry', 'regctl'],
    'copies an image with its referrers, and again without the origin',
    async () => {
      await using site = await Site.start()
      await attachArtifact(site)
      expect(await site.expectSame(visit)).toMatchObject({
        digest: site.image.root.digest,
        tags: expect.arrayContaining([tag]),
        referrers: [{ artifactType }],
      })
    },
  )
})
