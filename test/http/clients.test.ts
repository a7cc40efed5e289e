/** Each client's real sequence of requests, through Layover, against the stand-in internet. */
import { describe, expect, test } from 'vitest'
import { Containerd } from '../clients/containerd.ts'
import { containerd210 } from '../clients/containerd-variants.ts'
import { DockerLegacy } from '../clients/docker-legacy.ts'
import { Ggcr } from '../clients/ggcr.ts'
import { Oras } from '../clients/oras.ts'
import { Podman } from '../clients/podman.ts'
import { Regclient } from '../clients/regclient.ts'
import { multiArch } from '../fake/content.ts'
import { startInternet } from '../fake/internet.ts'
import { startTestLayover, upstream } from '../support/layover.ts'

async function scene() {
  const net = await startInternet()
  const bundle = multiArch('app')
  net.hub.put('library/alpine', '3.20', bundle)
  const layover = await startTestLayover({
    clock: net.clock,
    lookup: net.lookup,
    upstreams: [
      upstream({
        registry: 'docker.io',
        url: net.url('registry.hub.test'),
        aliases: ['registry-1.docker.io'],
        isDefault: true,
      }),
    ],
  })
  return {
    net,
    bundle,
    url: layover.url,
    layover,
    async [Symbol.asyncDispose]() {
      await layover[Symbol.asyncDispose]()
      await net.close()
    },
  }
}

type Scene = Awaited<ReturnType<typeof scene>>

const pulls: Record<string, (scene: Scene) => Promise<{ digest: string }>> = {
  containerd: ({ url }) =>
    new Containerd({ hosts: [url], registry: 'docker.io' }).pull('library/alpine', '3.20'),
  'containerd 2.1.0': ({ url }) =>
    containerd210({ hosts: [url], registry: 'docker.io' }).pull('library/alpine', '3.20'),
  'containerd with parallel chunks': ({ url }) =>
    new Containerd({
      hosts: [url],
      registry: 'docker.io',
      parallel: { chunkBytes: 4096, connections: 3 },
    }).pull('library/alpine', '3.20'),
  'Docker with the legacy store': ({ url }) =>
    new DockerLegacy({ mirrors: [url] }).pull('library/alpine', '3.20'),
  podman: ({ url }) => new Podman({ mirrors: [{ url, path: 'docker.io' }] }).pull('library/alpine', '3.20'),
  regclient: ({ url }) => new Regclient({ mirrors: [url] }).pull('library/alpine', '3.20'),
  'go-containerregistry': ({ url }) => new Ggcr({ url }).pull('docker.io/library/alpine', '3.20'),
  oras: ({ url }) => new Oras({ url }).pull('docker.io/alpine', '3.20'),
}

describe.each(Object.entries(pulls))('%s', (_client, pull) => {
  test('pulls an image whole, and upstream gives each object once', async () => {
    await using at = await scene()
    const found = await pull(at)
    expect(found.digest).toBe(at.bundle.digest)
    const again = await pull(at)
    expect(again.digest).toBe(at.bundle.digest)
    const gets = at.net
      .requests({ method: 'GET' })
      .filter(({ host, path, status }) => host !== 'auth.hub.test' && status === 200 && path !== '/v2/')
      .map(({ path }) => path)
    expect(gets).toEqual([...new Set(gets)])
  })

  test('pulls it again when upstream is gone', async () => {
    await using at = await scene()
    await pull(at)
    at.net.fault({ host: 'registry.hub.test', kind: 'refuse' })
    expect((await pull(at)).digest).toBe(at.bundle.digest)
  })
})
