/** Rounds of pushing and killing, for the short test and the long one. */
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { expect, vi } from 'vitest'
import { systemLookup } from '../../../src/runtime/lookup.ts'
import { seededBlob } from '../../fake/bytes.ts'
import { FakeClock } from '../../fake/clock.ts'
import { startInternet } from '../../fake/internet.ts'
import { startTestLayover } from '../../support/layover.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { seededRandom } from '../crashes.ts'
import { LayoverProcess } from '../process.ts'
import { auditPushed, checkNames, leftIn, settle } from './crash-check.ts'
import type { Site } from './crash-client.ts'
import { Ledger } from './crash-ledger.ts'
import { Pusher } from './crash-pusher.ts'

export const proxiedRepository = 'team/app'
const kiB = 1024
const dayMs = 86_400_000

/** A registry behind the tested one, with some blobs, and its address. */
export async function startProxied() {
  const net = await startInternet()
  const blobs = [500, 20 * kiB, 200 * kiB].map(size => seededBlob('proxied', size))
  for (const blob of blobs) net.plain.putBlob(proxiedRepository, blob)
  return {
    blobs,
    url: net.url('plain.test').replace('plain.test', '127.0.0.1'),
    [Symbol.asyncDispose]: () => net.close(),
  }
}

export function newSite(blobs: Site['proxied']['blobs']): Site {
  return {
    ledger: new Ledger(),
    repositories: ['local/one', 'local/two/deep', 'local/three'],
    mountable: [],
    proxied: { repository: proxiedRepository, blobs },
    subjects: new Map(),
    halfDone: new Set(),
    onAnswer: () => {},
  }
}

/** Each round lets six clients push until so many answers were given, kills, starts anew and looks at everything. */
export async function pushCrashRounds(rounds: number, random: () => number): Promise<void> {
  await using dir = await tempDir()
  await using proxied = await startProxied()
  const store = join(dir.path, 'data')
  const site = newSite(proxied.blobs)
  const pushers = Array.from({ length: 6 }, (_, number) => {
    const own = forked(random)
    return new Pusher({ site, name: `client${number}`, random: own, maxBytes: 1.5 * kiB * kiB })
  })
  const start = () => LayoverProcess.start({ home: dir.path, upstreamUrl: proxied.url })
  let running = await start()
  try {
    for (let round = 0; round < rounds; round += 1) {
      const enough = answers(site, 5 + Math.floor(random() * 60))
      const pushing = Promise.all(pushers.map(pusher => pusher.run(running.url)))
      await Promise.race([enough, pushing])
      await setTimeout(random() * 10) // somewhere in the middle of the next one
      await running.kill()
      await pushing
      await auditPushed(store)
      running = await start()
      settle(site.ledger, await checkNames({ site, names: site.ledger.takeTouched(), url: running.url }))
      for (const pusher of pushers) await pusher.finishUploads(running.url)
      settle(site.ledger, await checkNames({ site, names: site.ledger.takeTouched(), url: running.url }))
    }
    await checkNames({ site, names: site.ledger.names(), url: running.url })
    await running.stop()
    await auditPushed(store)
    await expectSwept(store)
  } finally {
    await running.kill()
  }
}

/** What killed processes left on its way is gone once it is old, and nothing else is. */
async function expectSwept(storePath: string): Promise<void> {
  const clock = new FakeClock(Date.now() + 3 * dayMs)
  await using _ = await startTestLayover({
    clock,
    lookup: systemLookup,
    upstreams: [],
    store: { path: storePath },
  })
  await vi.waitFor(
    async () => {
      expect(await leftIn(storePath, 'trash')).toEqual([])
      expect(await leftIn(storePath, 'uploads')).toEqual([])
    },
    { timeout: 10_000 },
  )
  await auditPushed(storePath)
}

/** Resolves when so many promises were made to clients. */
function answers(site: Site, count: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  let given = 0
  site.onAnswer = () => {
    given += 1
    if (given >= count) resolve()
  }
  return promise
}

/** Clients that run at once each draw their own numbers, or the seed would decide nothing. */
export function forked(random: () => number): () => number {
  return seededRandom(Math.floor(random() * 2 ** 31))
}
