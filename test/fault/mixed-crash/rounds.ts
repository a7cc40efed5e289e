/** Rounds of pulls, pushes, eviction, collection and scrub that end in a kill, for the short test and the long one. */
import { execFile } from 'node:child_process'
import { join, resolve } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { promisify } from 'node:util'
import { expect, vi } from 'vitest'
import { occupancyOf } from '../../../bench/soak/occupancy.ts'
import { type Internet, startInternet } from '../../fake/internet.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { auditPushed, checkNames, settle } from '../push/crash-check.ts'
import { Pusher } from '../push/crash-pusher.ts'
import { forked, newSite } from '../push/crash-rounds.ts'
import { auditStore, miB } from '../scene.ts'
import { isLost, makeImages, Puller, Recycler, type Round } from './clients.ts'
import { MixedProcess, type Victim } from './process.ts'

/** A tenth of what the images hold. */
const maxBytes = 12 * miB
const repository = 'team/app'
const sampledEveryMs = 50
const lateMs = 20_000
/** Pushed content is never evicted: it is read again only so often. */
const auditedEvery = 10

export interface MixedCrash {
  readonly rounds: number
  readonly random: () => number
  /** 1: one process does all. */
  readonly workers: number
  /** Told after each round. */
  readonly told?: (round: number, summary: Summary) => void
}

export interface Summary {
  /** Bytes of cached content that were seen at most. */
  mostBytes: number
  samples: number
  pulls: number
  answers: number
  /** Servers that outlived their primary. */
  lingering: number
}

/** Everything that was acknowledged holds after each round, nothing wrong is served, and the cap holds at every look. */
export async function mixedCrashRounds(options: MixedCrash): Promise<Summary> {
  await using scene = await MixedScene.open(options)
  for (let round = 0; round < options.rounds; round += 1) {
    await scene.round(round)
    options.told?.(round + 1, scene.summary)
  }
  await scene.finish()
  return scene.summary
}

type TempDir = Awaited<ReturnType<typeof tempDir>>

class MixedScene implements AsyncDisposable {
  readonly summary: Summary = { mostBytes: 0, samples: 0, pulls: 0, answers: 0, lingering: 0 }
  readonly #options: MixedCrash
  readonly #dir: TempDir
  readonly #net: Internet
  readonly #images: ReturnType<typeof makeImages>
  readonly #site: ReturnType<typeof newSite>
  readonly #pushers: readonly Pusher[]
  readonly #recyclers: readonly Recycler[]
  readonly #pullers: readonly Puller[]
  readonly #sampling: NodeJS.Timeout
  #running: MixedProcess | undefined

  private constructor(options: MixedCrash, dir: TempDir, net: Internet) {
    const { random } = options
    this.#options = options
    this.#dir = dir
    this.#net = net
    this.#images = makeImages(repository, forked(random))
    for (const [nth, bundle] of this.#images.bundles.entries()) net.plain.put(repository, `${nth}`, bundle)
    const blobs = this.#images.bundles.slice(0, 3).flatMap(bundle => bundle.blobs.slice(1, 3))
    this.#site = newSite(blobs)
    const client = (name: string) => ({ site: this.#site, name, random: forked(random), maxBytes: 1.5 * miB })
    this.#pushers = [1, 2, 3].map(number => new Pusher(client(`client${number}`)))
    this.#recyclers = [1, 2].map(number => new Recycler(client(`recycler${number}`)))
    this.#pullers = [1, 2, 3, 4].map(() => new Puller(this.#images, forked(random)))
    this.#sampling = setInterval(() => this.#sample(), sampledEveryMs)
  }

  static async open(options: MixedCrash): Promise<MixedScene> {
    const scene = new MixedScene(options, await tempDir(), await startInternet())
    await scene.#start()
    return scene
  }

  get #store(): string {
    return join(this.#dir.path, 'data')
  }

  /** Rejects with what was wrong, and what Layover said of it. */
  async round(number: number): Promise<void> {
    try {
      await this.#round(number)
    } catch (cause) {
      throw new Error(`round ${number}: ${String(cause)}\n${this.#running?.complaints().join('\n')}`, {
        cause,
      })
    }
  }

  async #round(number: number): Promise<void> {
    await this.#loadAndKill()
    await auditStore(this.#store)
    if (number % auditedEvery === 0) await auditPushed(this.#store)
    if (number % auditedEvery === 5) await this.#collectAlone()
    const { url } = await this.#start()
    const { ledger } = this.#site
    settle(ledger, await checkNames({ site: this.#site, names: ledger.takeTouched(), url }))
    for (const pusher of this.#pushers) await pusher.finishUploads(url)
    settle(ledger, await checkNames({ site: this.#site, names: ledger.takeTouched(), url }))
    const [puller] = this.#pullers
    const nth = Math.floor(this.#options.random() * this.#images.bundles.length)
    await puller?.pullWhole({ url, isBroken: false, isOver: false }, nth)
    await this.#expectCounted()
    this.#expectBelowCap()
  }

  /** Everything that was ever acknowledged, and every file. */
  async finish(): Promise<void> {
    const site = this.#site
    const running = await this.#start()
    for (const _ of [1, 2]) await this.#job(running, 'collections')
    await this.#job(running, 'scrubs')
    await checkNames({ site, names: site.ledger.names(), url: running.url })
    await this.#expectCounted()
    await running.stop()
    await auditStore(this.#store)
    await auditPushed(this.#store)
    this.#expectBelowCap()
    this.summary.pulls = this.#pullers.reduce((sum, { right }) => sum + right, 0)
  }

  async #loadAndKill(): Promise<void> {
    const { random, workers } = this.#options
    const running = await this.#start()
    const round: Round = { url: running.url, isBroken: false, isOver: false }
    const pushing = this.#pushers.map(pusher => this.#push(pusher, round))
    const load = Promise.all([
      ...pushing,
      ...[...this.#pullers, ...this.#recyclers].map(client => client.run(round)),
      this.#upkeep(running, round),
    ])
    const failed = load.then(() => {})
    const moment = () =>
      Promise.race([this.#answers(5 + Math.floor(random() * 60)), failed, setTimeout(5_000)])
    await moment()
    if (workers > 1 && random() < 0.5) {
      round.isBroken = true
      await running.kill('server')
      await moment()
    }
    await setTimeout(random() * 10) // somewhere in the middle of the next answer
    round.isBroken = true
    const victim: Victim = random() < 0.5 ? 'primary' : 'all'
    await running.kill(victim)
    round.isOver = true
    await Promise.race([load, late()])
    this.summary.lingering += running.lingering
  }

  async #push(pusher: Pusher, round: Round): Promise<void> {
    try {
      await pusher.run(round.url)
    } catch (error) {
      if (!(round.isBroken && isLost(error))) throw error
    }
  }

  /** Collections one after the other, and now and then a scrub beside them. */
  async #upkeep(running: MixedProcess, round: Round): Promise<void> {
    for (let count = 0; !round.isOver; count += 1) {
      try {
        await running.admin('POST', count % 4 === 3 ? 'scrubs' : 'collections')
        await setTimeout(30)
      } catch (error) {
        if (!round.isBroken) throw error
        return
      }
    }
  }

  async #job(running: MixedProcess, kind: 'collections' | 'scrubs'): Promise<void> {
    await running.admin('POST', kind)
    await vi.waitFor(
      async () => {
        const { body } = await running.admin('GET', `${kind}/current`)
        expect(body).toMatchObject({ state: 'done' })
      },
      { timeout: 30_000 },
    )
  }

  /** Between two lives, as an operator does it on a store that nobody serves. */
  async #collectAlone(): Promise<void> {
    const file = join(this.#dir.path, 'upstreams.yaml')
    const main = resolve(process.env.LAYOVER_MAIN ?? 'src/main.ts')
    await promisify(execFile)(process.execPath, [main, 'gc', '--config', file])
  }

  /** The accounts say what lies there, soon after the start and once nothing is on its way. */
  async #expectCounted(): Promise<void> {
    const running = await this.#start()
    await vi.waitFor(
      async () => {
        const metrics = await (await fetch(`${running.url}/metrics`)).text()
        const counted = Number(/^layover_store_bytes\{area="cached"\} (\d+)$/m.exec(metrics)?.[1])
        expect(counted).toBe(occupancyOf(this.#store).cachedBytes)
      },
      { timeout: 20_000, interval: 100 },
    )
  }

  #expectBelowCap(): void {
    expect(this.summary.mostBytes, 'the most bytes ever cached').toBeLessThanOrEqual(maxBytes)
  }

  #sample(): void {
    const { cachedBytes, partialBytes } = occupancyOf(this.#store, maxBytes)
    this.summary.samples += 1
    this.summary.mostBytes = Math.max(this.summary.mostBytes, cachedBytes + partialBytes)
  }

  /** The one that runs, or a new one on the same store. */
  async #start(): Promise<MixedProcess> {
    if (this.#running?.isRunning) return this.#running
    const upstreamUrl = this.#net.url('plain.test').replace('plain.test', '127.0.0.1')
    const { workers } = this.#options
    this.#running = await MixedProcess.start({ home: this.#dir.path, upstreamUrl, workers, maxBytes })
    return this.#running
  }

  /** Resolves when so many promises were made to clients. */
  #answers(count: number): Promise<void> {
    const { promise, resolve: enough } = Promise.withResolvers<void>()
    let given = 0
    this.#site.onAnswer = () => {
      given += 1
      this.summary.answers += 1
      if (given >= count) enough()
    }
    return promise
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#sampling)
    await this.#running?.kill('all')
    await this.#net.close()
    await this.#dir[Symbol.asyncDispose]()
  }
}

/** Nobody is there any more to wait for. */
async function late(): Promise<never> {
  await setTimeout(lateMs, undefined, { ref: false })
  throw new Error(`clients still wait ${lateMs} ms after the kill`)
}
