import { test } from 'vitest'
import { image } from '../fake/content.ts'
import { plain, scene } from './scene.ts'
test('stress', async () => {
  await using at = await scene({ upstreams: net => [plain(net)] })
  const wide = image('wide', { layers: Array.from({ length: 200 }, (_, n) => 300 + n) })
  at.net.plain.put('wide', 'v1', wide)
  for (const known of [false, true]) {
    if (known) { await at.layover.restart() }
    for (const { digest } of wide.blobs.slice(known ? 100 : 0, known ? 200 : 100)) {
      const asks = []
      for (let i = 0; i < 20; i++) { asks.push(at.ask(`/v2/wide/blobs/${digest}`)); await new Promise(r => setTimeout(r, Math.random() * 1)) }
      await Promise.all(asks)
    }
    const counts = new Map<string, number>()
    for (const { path, method } of at.net.requests({ path: /blobs/ })) counts.set(method + path, (counts.get(method + path) ?? 0) + 1)
    console.log([...counts.values()].filter(n => n > 1).length, 'of', counts.size, 'blobs asked more than once')
    at.net.clearRequests()
  }
}, 60000)
