/** What an upstream lets one replica's caller have is no word on another's: each asks for itself, and takes the bytes from who has them. */
import { expect, test, vi } from 'vitest'
import { readContent } from '../../fake/bytes.ts'
import { image } from '../../fake/content.ts'
import { ask, hub, layerOf } from '../scene.ts'
import { acquainted, startReplicas } from './scene.ts'

const app = image('private', { layers: [300_000] })
const name = 'team/app'

function basic(user: string): string {
  return `Basic ${Buffer.from(`${user}:${user}`).toString('base64')}`
}

test('callers of another replica are asked about there', async () => {
  await using at = await startReplicas({
    count: 2,
    upstreams: net => [
      hub(net, {
        options: { access: 'passthrough', authRealms: [new URL(net.url('auth.hub.test')).host] },
      }),
    ],
  })
  await acquainted(at)
  at.net.hub.put(name, 'v1', app)
  at.net.hub.makePrivate(name)
  for (const user of ['ann', 'ben']) at.net.hub.addUser(user, user, { pull: [name] })
  at.net.hub.addUser('eve', 'eve', { pull: [] })
  const paths = [`manifests/v1`, `manifests/${app.digest}`, `blobs/${layerOf(app).digest}`]
  const askAt = (place: number, path: string, user?: string) =>
    ask(
      at.at(place).url,
      `/v2/${name}/${path}`,
      user === undefined ? {} : { headers: { authorization: basic(user) } },
    )
  for (const path of paths) {
    await vi.waitFor(
      async () => {
        expect((await askAt(0, path, 'ann')).headers['cache-status']).toBe('layover; hit')
      },
      { timeout: 10_000 },
    )
  }
  at.net.clearRequests()
  for (const path of paths) {
    expect([path, (await askAt(1, path)).status]).toEqual([path, 401])
    expect([path, (await askAt(1, path, 'eve')).status]).toEqual([path, 403])
  }
  for (const path of paths) expect([path, (await askAt(1, path, 'ben')).status]).toEqual([path, 200])
  const blob = await askAt(1, `blobs/${layerOf(app).digest}`, 'ben')
  expect(blob.body.equals(readContent(layerOf(app).content))).toBe(true)
  expect(at.sent(layerOf(app))).toBeLessThan(1_000)
})
