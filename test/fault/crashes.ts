/** Rounds of pulling and killing, for the short test and the long one: what must hold of the store after each. */
import { join } from 'node:path'
import { expect } from 'vitest'
import { seededBlob } from '../fake/bytes.ts'
import { artifactOf, type Bundle } from '../fake/content.ts'
import { startInternet } from '../fake/internet.ts'
import { tempDir } from '../support/temp-dir.ts'
import { download, expectWhole, openDownload } from './download.ts'
import { LayoverProcess } from './process.ts'
import { auditStore, miB, repository } from './scene.ts'

export async function crashScene() {
  const [dir, net] = await Promise.all([tempDir(), startInternet()])
  const upstreamUrl = net.url('plain.test').replace('plain.test', '127.0.0.1')
  let running = await LayoverProcess.start({ home: dir.path, upstreamUrl })
  return {
    net,
    store: join(dir.path, 'data'),
    url: (path: string) => `${running.url}/v2/${repository}/${path}`,
    put: (tag: string, bundle: Bundle) => net.plain.put(repository, tag, bundle),
    kill: () => running.kill(),
    stop: () => running.stop(),
    async start() {
      running = await LayoverProcess.start({ home: dir.path, upstreamUrl })
    },
    async [Symbol.asyncDispose]() {
      await running.kill()
      await net.close()
      await dir[Symbol.asyncDispose]()
    },
  }
}

/** Each round pulls four blobs and is killed when one of them has come so far; then everything is pulled again. */
export async function crashRounds(rounds: number, random: () => number): Promise<void> {
  await using at = await crashScene()
  for (let round = 0; round < rounds; round += 1) {
    const sizes = [1_000, 1 * miB, 6 * miB, 12 * miB]
    const bundle = artifactOf(sizes.map((size, number) => seededBlob(`round ${round} ${number}`, size)))
    at.put(`${round}`, bundle)
    const victim = Math.floor(random() * 4)
    const share = random()
    await download(at.url(`manifests/${round}`))
    const readers = await Promise.all(
      bundle.blobs.slice(1).map(blob => openDownload(at.url(`blobs/${blob.digest}`))),
    )
    const reading = readers.map((reader, number) => {
      const size = sizes[number] ?? 0
      return reader.take(number === victim ? Math.ceil(share * size) : size).catch(() => 0) // the kill cuts it
    })
    await reading[victim]
    await at.kill()
    await Promise.all(reading)
    await auditStore(at.store)
    await at.start()
    const manifest = await download(at.url(`manifests/${round}`))
    expect(manifest.bytes.equals(bundle.root.body)).toBe(true)
    for (const blob of bundle.blobs) expectWhole(await download(at.url(`blobs/${blob.digest}`)), blob)
    await auditStore(at.store)
  }
  await at.stop()
  expect((await auditStore(at.store)).length).toBeGreaterThanOrEqual(5 * rounds)
}

/** Mulberry32: the same moments in every run. */
export function seededRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let word = Math.imul(state ^ (state >>> 15), 1 | state)
    word = (word + Math.imul(word ^ (word >>> 7), 61 | word)) ^ word
    return ((word ^ (word >>> 14)) >>> 0) / 2 ** 32
  }
}
