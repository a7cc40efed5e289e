/** podman, and with it CRI-O and buildah: a mirror in registries.conf that replaces the registry's name. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { originName } from './layover.ts'
import type { Registry } from './origin.ts'
import { repository, Site, tag } from './site.ts'
import { run, testWith } from './tools.ts'

/** The registry itself stands at a closed port, so that only the mirror can answer. */
const registriesConf = (registry: Registry) => `
[[registry]]
prefix = "${originName}"
location = "127.0.0.1:1"
  [[registry.mirror]]
  location = "${`${registry.address}/${registry.namespace}`.replace(/\/$/, '')}"
  insecure = true
`

async function podmanAt(registry: Registry, home: string) {
  const conf = join(home, 'registries.conf')
  const policy = join(home, 'policy.json')
  const settings = join(home, '.config', 'containers')
  await mkdir(settings, { recursive: true })
  await writeFile(conf, registriesConf(registry))
  await writeFile(policy, '{"default":[{"type":"insecureAcceptAnything"}]}')
  const places = [`--root=${home}/root`, `--runroot=${home}/run`, `--tmpdir=${home}/tmp`]
  const engine = ['--storage-driver=vfs', '--cgroup-manager=cgroupfs', '--events-backend=none']
  const global = [...places, ...engine, `--registries-conf=${conf}`]
  return {
    pull: (platform: string) =>
      run(
        'podman',
        [...global, 'pull', '--quiet', `--platform=${platform}`, `--signature-policy=${policy}`, image],
        home,
      ),
    inspect: async () =>
      JSON.parse(await run('podman', [...global, 'image', 'inspect', image], home)) as Inspection,
  }
}

type Inspection = { Id: string; Digest: string; RootFS: { Layers: string[] } }[]
const image = `${originName}/${repository}:${tag}`

async function visit(registry: Registry, home: string) {
  const podman = await podmanAt(registry, home)
  const pulled = []
  for (const platform of ['linux/amd64', 'linux/arm64']) {
    await podman.pull(platform)
    const [found] = await podman.inspect()
    pulled.push({ platform, id: found?.Id, digest: found?.Digest, layers: found?.RootFS.Layers })
  }
  return pulled
}

describe('podman', () => {
  testWith(
    ['docker-registry', 'podman'],
    'pulls and unpacks through a mirror in registries.conf, and again without the origin',
    async () => {
      await using site = await Site.start()
      expect(await site.expectSame(visit)).toMatchObject([
        { platform: 'linux/amd64', layers: [expect.anything(), expect.anything()] },
        { platform: 'linux/arm64', layers: [expect.anything(), expect.anything()] },
      ])
    },
  )
})
