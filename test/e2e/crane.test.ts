/** crane, and with it kaniko, Flux, cosign and all others that are built on go-containerregistry. */
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { digestOf } from '../../src/oci/digest.ts'
import type { Registry } from './origin.ts'
import { layoutDigests, repository, Site, tag } from './site.ts'
import { run, testWith } from './tools.ts'

async function visit(registry: Registry, home: string) {
  const crane = (...args: string[]) => run('crane', ['--insecure', ...args], home)
  const name = `${registry.address}/${registry.namespace}${repository}`
  const layout = join(home, 'layout')
  const digest = (await crane('digest', `${name}:${tag}`)).trim()
  await crane('pull', '--format=oci', `${name}@${digest}`, layout)
  return {
    digest,
    platform: (await crane('digest', '--platform=linux/arm64', `${name}:${tag}`)).trim(),
    manifest: digestOf(Buffer.from(await crane('manifest', `${name}:${tag}`))),
    tags: (await crane('ls', name)).split('\n').filter(Boolean),
    content: await layoutDigests(layout),
  }
}

describe('crane', () => {
  testWith(
    ['docker-registry', 'crane'],
    'pulls an image under its registry name, and again without the origin',
    async () => {
      await using site = await Site.start()
      expect(await site.expectSame(visit)).toMatchObject({
        digest: site.image.root.digest,
        platform: site.image.manifests[1]?.digest,
        manifest: site.image.root.digest,
        tags: [tag],
      })
    },
  )

  testWith(
    ['docker-registry', 'crane'],
    'pulls a name without a registry from the default upstream, and again without the origin',
    async () => {
      await using site = await Site.start()
      await site.expectSame(visit, site.byDefault)
    },
  )
})
