/** All clients of a soak, as a process of their own. */
import { connect, type Socket } from 'node:net'
import { answerCalls } from '../child.ts'
import { Random } from '../eviction/random.ts'
import { nowMs } from '../monotonic.ts'
import { Asker } from './asker.ts'
import { type Mirrored, Nodes } from './pulling.ts'
import { Builder } from './pushing.ts'
import { emptyTally, type Tally } from './tally.ts'

const nodes = 8
const dawdlers = 6
const builders = 2
const idleConnections = 100

export interface ClientsOptions {
  readonly url: string
  readonly seed: number
  readonly registry: string
  readonly names: readonly string[]
}

const ending = new AbortController()
const publishedMs: number[][] = []
let tally: Tally = emptyTally()
let running: Promise<unknown> = Promise.resolve()
const idle: Socket[] = []

export const calls = {
  start({ url, seed, registry, names }: ClientsOptions): void {
    const mirrored: Mirrored = { registry, names, publishedMs }
    const askers: Asker[] = []
    const asker = () => {
      const random = new Random(seed + askers.length)
      const made = new Asker({ url, random, tally: () => tally, stopped: ending.signal })
      askers.push(made)
      return made
    }
    const many = (count: number, run: (nth: number) => Promise<void>) =>
      Array.from({ length: count }, (_, nth) => run(nth))
    const work = [
      ...many(nodes, () => new Nodes(asker(), mirrored).run()),
      ...many(dawdlers, () => new Nodes(asker(), mirrored).dawdle()),
      new Nodes(asker(), mirrored).browse(),
      ...many(builders, nth => new Builder(asker(), nth).run()),
    ]
    for (let count = 0; count < idleConnections; count += 1) idle.push(stayConnected(url))
    running = Promise.all(work).finally(() => {
      for (const made of askers) made.close()
    })
  },

  published({ image, version }: { image: number; version: number }): void {
    const of = publishedMs[image] ?? []
    of[version - 1] = nowMs()
    publishedMs[image] = of
  },

  take(): Tally {
    const taken = tally
    tally = emptyTally()
    return taken
  },

  async stop(): Promise<void> {
    ending.abort()
    for (const socket of idle) socket.destroy()
    await running
  },
}

answerCalls(calls)

/** Connections that say nothing; who is closed comes again. */
function stayConnected(url: string): Socket {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  socket.on('error', () => {}) // `close` follows
  socket.on('close', () => {
    if (ending.signal.aborted) return
    idle.splice(idle.indexOf(socket), 1)
    setTimeout(() => idle.push(stayConnected(url)), 1_000).unref()
  })
  return socket
}
