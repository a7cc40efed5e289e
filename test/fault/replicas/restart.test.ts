/** Replicas are restarted one after the other while clients pull and push through a balancer: nobody loses what he would not ask for again. */
import { expect, vi } from 'vitest'
import { digestOf } from '../../../src/oci/digest.ts'
import { testWith } from '../../e2e/tools.ts'
import { readContent, seededBlob } from '../../fake/bytes.ts'
import { artifactOf } from '../../fake/content.ts'
import { pushBundle } from '../../http/push-client.ts'
import { repository } from '../scene.ts'
import { Load, patiently } from './load.ts'
import { backends, startReplicas } from './scene.ts'

const local = 'local/team/app'
const aWhile = 60
/** Six starts of the whole program, each of which takes a busy machine 10 s. */
const longMs = 240_000
const starting = { timeout: 40_000, interval: 200 }

testWith(
  backends,
  'a rolling restart loses no request that a client would not send again',
  async () => {
    await using at = await startReplicas({ settings: { limits: { drain: '5s' } } })
    const proxied = artifactOf([seededBlob('layer', 400_000)])
    at.put('v1', proxied)
    const pushed = artifactOf([seededBlob('pushed', 4_000)])
    await vi.waitFor(() => pushBundle({ url: at.replicas.at(0).url, name: local }, pushed, 'v1'), starting)
    const through = (path: string) => `http://${at.balancer.address}/v2/${path}`
    const pull = (path: string, digest: string) =>
      patiently(through(path), {}, ({ status, body }) => status === 200 && digestOf(body) === digest)
    const push = async (turn: number) => {
      const { root, blobs } = artifactOf([seededBlob(`turn ${turn}`, 1_000)])
      const headers = { 'content-type': 'application/octet-stream' }
      for (const { digest, content } of blobs)
        await patiently(
          through(`${local}/blobs/uploads/?digest=${digest}`),
          { method: 'POST', headers, body: readContent(content) },
          ({ status }) => status === 201,
        )
      await patiently(
        through(`${local}/manifests/turn-${turn}`),
        { method: 'PUT', headers: { 'content-type': root.mediaType }, body: root.body },
        ({ status }) => status === 201,
      )
      await pull(`${local}/manifests/turn-${turn}`, root.digest)
    }
    const asks = [
      () => pull(`${repository}/manifests/v1`, proxied.digest),
      ...proxied.blobs.map(
        ({ digest }) =>
          () =>
            pull(`${repository}/blobs/${digest}`, digest),
      ),
      () => pull(`${local}/manifests/v1`, pushed.digest),
      push,
    ]
    const load = new Load(5, turn =>
      Promise.resolve(asks[turn % asks.length]?.(turn)).then(
        () => undefined,
        (error: unknown) => String(error),
      ),
    )
    try {
      for (const replica of at.replicas.all) {
        await load.more(aWhile)
        expect(await replica.stop()).toBe(0)
        await load.more(aWhile)
        await replica.start()
      }
      await load.more(aWhile)
    } finally {
      await load.stop()
    }
    expect(load.failures).toEqual([])
  },
  { timeout: longMs },
)
