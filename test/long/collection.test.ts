/** Many histories of collections, and one of a store with many blobs. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { localKey } from '../../src/pull/target.ts'
import { imageOf, longMs, openCollected, type Pushed, pushedOf } from '../unit/collect/collect-rig.ts'
import { collectionHistory, expectCollectionModel } from '../unit/collect/collection-model.ts'

const seed = Number(process.env.LAYOVER_SEED ?? Date.now() % 2 ** 31)
const numRuns = Number(process.env.LAYOVER_RUNS ?? 2_000)
const blobs = Number(process.env.LAYOVER_BLOBS ?? 100_000)
const mib = 2 ** 20

test(`${numRuns} histories of collections (LAYOVER_SEED=${seed}) keep what is needed, and nothing else in the end`, async () => {
  // Shrinking is of no use where the outcome hangs on the moment.
  await fc.assert(fc.asyncProperty(collectionHistory, expectCollectionModel), {
    seed,
    numRuns,
    endOnFailure: true,
  })
})

test(`a collection of ${blobs} blobs takes little memory, and the event loop no pause`, async () => {
  await using rig = await openCollected()
  const key = localKey(rig.at('many'))
  const { layout } = rig.store
  const put = (path: string, content: string) => {
    try {
      writeFileSync(path, content)
    } catch {
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, content)
    }
  }
  const link = JSON.stringify({ v: 1, size: 1, at: rig.clock.now(), source: 'push' })
  const perImage = 20
  for (let first = 0; first < blobs; first += perImage) {
    const layers: Pushed[] = Array.from({ length: perImage }, (_, nth) => pushedOf(`layer ${first + nth}`))
    for (const { digest, body } of layers) {
      put(layout.pushed(digest), body.toString())
      put(layout.blob(key, digest), link)
    }
    if (first % (10 * perImage) === 0) continue // a tenth is garbage
    const { digest, body } = imageOf(`image ${first}`, layers)
    put(layout.pushed(digest), body.toString())
    put(
      layout.manifest(key, digest),
      JSON.stringify({ ...JSON.parse(link), mediaType: 'a/b', size: body.length }),
    )
  }
  rig.clock.advance(longMs)
  global.gc?.()
  const idle = process.memoryUsage.rss()
  const delay = monitorEventLoopDelay({ resolution: 1 })
  let most = 0
  let turns = 0
  const watch = setInterval(() => {
    most = Math.max(most, process.memoryUsage.rss() - idle)
    turns += 1
    if (turns % 50 === 0) void rig.index.flush() // as the index of a server does
  }, 20)
  const start = performance.now()
  delay.enable()
  const report = await rig.collection().collect()
  delay.disable()
  clearInterval(watch)
  const [maxMs, p99Ms] = [delay.max / 1e6, delay.percentile(99) / 1e6]
  console.log({ report, seconds: (performance.now() - start) / 1000, mib: most / mib, maxMs, p99Ms })
  expect(report.blobs).toBeGreaterThan(blobs * 0.099)
  expect(report.blobs).toBeLessThanOrEqual(blobs / 10)
  expect(most).toBeLessThan(100 * mib)
})
