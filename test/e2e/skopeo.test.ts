/** skopeo: containers/image without a mirror configuration, every platform of an image. */
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { digestOf } from '../../src/oci/digest.ts'
import { digestsOf } from './image.ts'
import type { Registry } from './origin.ts'
import { layoutDigests, repository, Site, tag } from './site.ts'
import { run, testWith } from './tools.ts'

async function visit(registry: Registry, home: string) {
  const skopeo = (...args: string[]) =>
    run('skopeo', ['--insecure-policy', `--tmpdir=${home}`, ...args], home)
  const source = `docker://${registry.address}/${registry.namespace}${repository}:${tag}`
  const layout = join(home, 'layout')
  await skopeo('copy', '--all', '--src-tls-verify=false', source, `oci:${layout}:${tag}`)
  const about = JSON.parse(await skopeo('inspect', '--tls-verify=false', source)) as Record<string, unknown>
  return {
    digest: about.Digest,
    tags: about.RepoTags,
    manifest: digestOf(Buffer.from(await skopeo('inspect', '--raw', '--tls-verify=false', source))),
    content: await layoutDigests(layout),
  }
}

describe('skopeo', () => {
  testWith(
    ['docker-registry', 'skopeo'],
    'copies every platform of an image, and again without the origin',
    async () => {
      await using site = await Site.start()
      const { image } = site
      expect(await site.expectSame(visit)).toEqual({
        digest: image.root.digest,
        tags: [tag],
        manifest: image.root.digest,
        content: digestsOf(image),
      })
    },
  )
})
