/** containerd, a private one: a mirror in hosts.toml that is told the registry by `ns`. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { startContainerd } from './containerd.ts'
import { digestsOf } from './image.ts'
import { originName } from './layover.ts'
import type { Registry } from './origin.ts'
import { repository, Site, tag } from './site.ts'
import { testWith } from './tools.ts'

const image = `${originName}/${repository}:${tag}`

/** `server` is the mirror as well, so that only the mirror can answer. */
const hostsToml = (host: string) => `server = "${host}"
[host."${host}"]
  capabilities = ["pull", "resolve"]
`

/** The two forms that people write: the bare mirror, and the registry's name as the mirror's path. */
const forms = {
  'the bare address': ({ address }: Registry) => `http://${address}`,
  'the registry name in its path': ({ address, namespace }: Registry) =>
    `http://${address}/${namespace}`.replace(/\/$/, ''),
}

function visitBy(form: (registry: Registry) => string) {
  return async (registry: Registry, home: string) => {
    const hosts = join(home, 'hosts', originName)
    await mkdir(hosts, { recursive: true })
    await writeFile(join(hosts, 'hosts.toml'), hostsToml(form(registry)))
    await using containerd = await startContainerd(home)
    const { ctr } = containerd
    const from = [`--hosts-dir=${join(home, 'hosts')}`, image]
    await ctr('images', 'pull', '--snapshotter=native', '--platform=linux/amd64', ...from)
    await ctr('content', 'fetch', '--all-platforms', ...from)
    return {
      digest: (await ctr('images', 'ls', `name==${image}`)).match(/sha256:[0-9a-f]{64}/)?.[0],
      content: (await ctr('content', 'ls', '--quiet')).split('\n').filter(Boolean).toSorted(),
      unpacked: (await ctr('snapshots', '--snapshotter=native', 'ls')).match(/sha256:[0-9a-f]{64}/g),
    }
  }
}

describe('containerd', () => {
  for (const [form, hostOf] of Object.entries(forms)) {
    testWith(
      ['docker-registry', 'containerd', 'ctr'],
      `pulls and unpacks through a mirror given by ${form}, and again without the origin`,
      async () => {
        await using site = await Site.start()
        const { image } = site
        expect(await site.expectSame(visitBy(hostOf))).toMatchObject({
          digest: image.root.digest,
          content: digestsOf(image),
        })
      },
    )
  }
})
