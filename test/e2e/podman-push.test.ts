/** podman and buildah push: one platform, a list of platforms, an image built on one that is there. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { containerTools } from './containers.ts'
import { layoutTag } from './layout.ts'
import { PushSite } from './site.ts'
import { testWith } from './tools.ts'

interface Manifest {
  config: { digest: string }
  layers: { digest: string }[]
}

async function manifestOf({ registry }: PushSite, name: string) {
  const [repository, tag] = name.split(':')
  const answer = await fetch(
    `http://${registry.address}/v2/${registry.namespace}${repository}/manifests/${tag}`,
  )
  expect(answer.status).toBe(200)
  const digest = answer.headers.get('docker-content-digest')
  return { digest, content: (await answer.json()) as Manifest }
}

/** The platform of this machine's default, in podman's store and as `team/base:1`. */
async function pushed(site: PushSite) {
  const tools = await containerTools(site.root)
  await site.layout('image', site.image)
  const layout = `oci:image:${layoutTag}` // it makes a name of the path, and the whole path is none
  const id = (await tools.podman('pull', '--quiet', layout)).trim()
  const file = join(site.root, 'digest')
  const base = site.at('team/base:1')
  await tools.podman('push', '--tls-verify=false', `--digestfile=${file}`, id, `docker://${base}`)
  return { ...tools, layout, id, base, digest: await readFile(file, 'utf8') }
}

describe('podman', () => {
  testWith(['podman'], 'pushes an image, mounts its layers elsewhere, and pulls it back', async () => {
    await using site = await PushSite.start()
    const { podman, id, base, digest } = await pushed(site)
    expect((await manifestOf(site, 'team/base:1')).digest).toBe(digest)
    await podman('push', '--tls-verify=false', id, `docker://${site.at('release/base:1')}`)
    await site.expectBlobs('release/base', { mounted: 2, sent: 1 }) // it sends the config again
    await podman('rmi', '--force', id)
    expect((await podman('pull', '--quiet', '--tls-verify=false', base)).trim()).toBe(id)
  })

  testWith(['podman'], 'pushes a list of platforms', async () => {
    await using site = await PushSite.start()
    const { podman, layout } = await pushed(site)
    const configs = site.image.manifests.map(
      ({ bytes }) => (JSON.parse(bytes.toString()) as Manifest).config.digest,
    )
    await podman('manifest', 'create', 'list')
    await podman('manifest', 'add', '--all', 'list', layout)
    await podman(
      'manifest',
      'push',
      '--all',
      '--tls-verify=false',
      'list',
      `docker://${site.at('team/app:1.0')}`,
    )
    for (const [at, architecture] of ['amd64', 'arm64'].entries()) {
      const platform = `--platform=linux/${architecture}`
      const id = await podman('pull', '--quiet', '--tls-verify=false', platform, site.at('team/app:1.0'))
      expect(`sha256:${id.trim()}`).toBe(configs[at]) // podman compresses anew: the layers' digests are its own
    }
  })
})

describe('buildah', () => {
  testWith(
    ['podman', 'buildah'],
    'builds on an image that is there and pushes only what it added',
    async () => {
      await using site = await PushSite.start()
      const { buildah, podman, base } = await pushed(site)
      const added = join(site.root, 'added')
      await writeFile(added, 'added')
      const container = (await buildah('from', '--tls-verify=false', '--pull-always', base))
        .trim()
        .split('\n')
        .at(-1)
      if (container === undefined) throw new Error('buildah named no container')
      await buildah('copy', container, added, '/added')
      await buildah('commit', '--tls-verify=false', container, `docker://${site.at('team/built:1')}`)
      await site.expectBlobs('team/built', { mounted: 2, sent: 2 }) // sent: the new layer and the config
      const { content } = await manifestOf(site, 'team/built:1')
      const below = (await manifestOf(site, 'team/base:1')).content.layers.map(({ digest }) => digest)
      expect(content.layers.map(({ digest }) => digest)).toEqual([...below, expect.anything()])
      await podman('pull', '--quiet', '--tls-verify=false', site.at('team/built:1'))
    },
  )
})
