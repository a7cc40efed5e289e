/** Real clients that are sent to the bucket for every blob. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, vi } from 'vitest'
import { startContainerd } from '../../e2e/containerd.ts'
import { digestsOf, multiArchImage } from '../../e2e/image.ts'
import { publish } from '../../e2e/publish.ts'
import { layoutDigests } from '../../e2e/site.ts'
import { run, testWith } from '../../e2e/tools.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { sharedScene } from './scene.ts'

const repository = 'local/team/app'

/** Digests of all that the client got of the image at the address. */
type Pull = (address: string, home: string) => Promise<string[]>

const clients: Record<string, { readonly tools: readonly string[]; readonly pull: Pull }> = {
  crane: {
    tools: ['crane'],
    async pull(address, home) {
      const layout = join(home, 'layout')
      await run('crane', ['--insecure', 'pull', '--format=oci', `${address}/${repository}:1.0`, layout], home)
      return layoutDigests(layout)
    },
  },
  regctl: {
    tools: ['regctl'],
    async pull(address, home) {
      const to = `ocidir://${home}/layout:1.0`
      const host = `reg=${address},tls=disabled`
      await run('regctl', ['--host', host, 'image', 'copy', `${address}/${repository}:1.0`, to], home)
      return layoutDigests(join(home, 'layout'))
    },
  },
  skopeo: {
    tools: ['skopeo'],
    async pull(address, home) {
      const to = `oci:${home}/layout:1.0`
      const options = ['--insecure-policy', `--tmpdir=${home}`, 'copy', '--all', '--src-tls-verify=false']
      await run('skopeo', [...options, `docker://${address}/${repository}:1.0`, to], home)
      return layoutDigests(join(home, 'layout'))
    },
  },
  containerd: {
    tools: ['containerd', 'ctr'],
    async pull(address, home) {
      const hosts = join(home, 'hosts', 'origin.test')
      await mkdir(hosts, { recursive: true })
      const toml = `server = "http://${address}"\n[host."http://${address}"]\n  capabilities = ["pull", "resolve"]\n`
      await writeFile(join(hosts, 'hosts.toml'), toml)
      await using containerd = await startContainerd(home)
      const from = [`--hosts-dir=${join(home, 'hosts')}`, `origin.test/${repository}:1.0`]
      await containerd.ctr('content', 'fetch', '--all-platforms', ...from)
      return (await containerd.ctr('content', 'ls', '--quiet')).split('\n').filter(Boolean).toSorted()
    },
  },
}

describe.each(Object.entries(clients))('%s', (_, { tools, pull }) => {
  testWith(['versitygw', ...tools], 'reads every blob of an image in the bucket', async () => {
    await using at = await sharedScene()
    await using home = await tempDir()
    const image = multiArchImage()
    const setting = { s3: { linkedFrom: 1, links: { endpoint: undefined, validMs: 900_000 } } }
    const first = await at.start(setting)
    await publish({ address: new URL(first.layover.url).host, namespace: '' }, `${repository}:1.0`, image)
    const { layover } = await at.start({ ...setting, hosts: ['origin.test'] })
    expect(await pull(new URL(layover.url).host, home.path)).toEqual(digestsOf(image))
    const reads = await vi.waitFor(() => {
      const told = layover.lines.filter(
        ({ path, method }) => /\/blobs\//.test(String(path)) && method === 'GET',
      )
      expect(told.length).toBeGreaterThanOrEqual(image.blobs.length) // the last may be told a little later
      return told
    }, 10_000)
    expect(new Set(reads.map(({ status }) => status))).toEqual(new Set([307]))
  })
})
