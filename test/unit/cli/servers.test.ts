import { once } from 'node:events'
import { MessageChannel } from 'node:worker_threads'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { Link } from '../../../src/cli/workers/link.ts'
import type { Order } from '../../../src/cli/workers/orders.ts'
import { type Server, Servers, type Spawn } from '../../../src/cli/workers/servers.ts'
import { createLogger } from '../../../src/observe/log.ts'
import { createMetrics } from '../../../src/observe/metrics.ts'
import { countedBy, sum } from '../../../src/observe/sum.ts'
import type { RepositoryName } from '../../../src/oci/name.ts'
import { FakeClock } from '../../fake/clock.ts'
import { isSettled } from '../../support/is-settled.ts'

const silent = createLogger('silent')
const address = { host: '127.0.0.1', port: 5000, role: 'registry', tls: false } as const
const start = {
  kind: 'start',
  config: {} as never,
  sharesLocalNames: false,
  inlet: { path: '', secret: '' },
  index: undefined,
  doubtful: undefined,
  changing: [],
} as const
const changed: Order = {
  kind: 'changed',
  key: { registry: '_local', repository: 'local/app' as RepositoryName },
  index: undefined,
}

type Obey = (order: Order) => unknown

/** Servers that do as the test says; `born` resolves with the next one. */
function stand(obey: (nth: number) => Obey, count = 2, clock?: FakeClock) {
  const born: { server: Server; nth: number; die: (how: string) => void }[] = []
  const births = new EventTarget()
  const spawn: Spawn = () => {
    const { port1, port2 } = new MessageChannel()
    const nth = born.length
    const portOf = (port: typeof port1) => ({
      post: (message: unknown) => port.postMessage(message),
      onMessage: (take: (message: unknown) => void) => void port.on('message', take),
    })
    const serving = new Link(portOf(port2), order => obey(nth)(order as Order))
    const link = new Link(portOf(port1), () => undefined)
    const ended = Promise.withResolvers<string>()
    const die = (how: string) => {
      port1.close()
      link.close(new Error(how))
      serving.close(new Error(how))
      ended.resolve(how)
    }
    const server: Server = {
      pid: nth,
      link,
      ended: ended.promise,
      leave: () => die('exit code 0'),
      kill: () => die('SIGKILL'),
    }
    born.push({ server, nth, die })
    births.dispatchEvent(new Event('birth'))
    return server
  }
  const told = { log: silent, start: () => start, reported: () => {} }
  const servers = new Servers({ count, spawn, ...told, ...(clock ? { clock } : {}) })
  onTestFinished(() => servers.stop(0))
  return { servers, born, nextBirth: () => once(births, 'birth') }
}

const never = new Promise<never>(() => {})
const listens: Obey = ({ kind }) => (kind === 'start' ? [address] : undefined)

describe('the servers of a primary', () => {
  it('are started together, and tell where they listen', async () => {
    const { servers, born } = stand(() => listens, 3)
    expect(await servers.start()).toEqual([address])
    expect(born).toHaveLength(1)
    await servers.startOthers()
    expect(born).toHaveLength(3)
  })

  it('may start slowly, and hang when they take long for anything else', async () => {
    const clock = new FakeClock()
    const gate = Promise.withResolvers<unknown>()
    const { servers, born } = stand(
      () =>
        ({ kind }) =>
          kind === 'start' ? gate.promise : never,
      1,
      clock,
    )
    const starting = servers.start()
    await clock.untilSleeping(2) // the watch, and the start
    for (const ms of [11_000, 1_000, 40_000]) {
      clock.advance(ms)
      expect(await isSettled(starting)).toBe(false)
    }
    gate.resolve([address])
    expect(await starting).toEqual([address])
    const telling = servers.tell(changed)
    clock.advance(10_000)
    await vi.waitFor(async () => {
      clock.advance(500) // it may be the machine that stood still
      expect(await isSettled(telling)).toBe(true)
    })
    expect(await born[0]?.server.ended).toBe('SIGKILL')
  })

  it('fail the start when one cannot listen, as the system said it', async () => {
    const failure = Object.assign(new Error('in use'), { code: 'EADDRINUSE' })
    const { servers } = stand(() => () => Promise.reject(failure))
    await expect(servers.start()).rejects.toMatchObject({ code: 'EADDRINUSE' })
  })

  it('have all taken in a change before it counts as told', async () => {
    const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const { servers } = stand(
      nth => order => (order.kind === 'changed' ? gates[nth]?.promise : listens(order)),
    )
    await servers.start()
    await servers.startOthers()
    let told = false
    const telling = servers.tell(changed).then(() => {
      told = true
    })
    gates[0]?.resolve()
    await new Promise(resolve => setImmediate(resolve))
    expect(told).toBe(false)
    gates[1]?.resolve()
    await telling
    expect(told).toBe(true)
  })

  it('hold up no change when they die', async () => {
    const { servers, born } = stand(
      nth => order => (order.kind === 'changed' && nth === 0 ? new Promise(() => {}) : listens(order)),
    )
    await servers.start()
    await servers.startOthers()
    const telling = servers.tell(changed)
    born[0]?.die('SIGSEGV')
    await telling
  })

  it('are replaced when they die, and the new one is started like the others', async () => {
    const started: number[] = []
    const { servers, born, nextBirth } = stand(nth => order => {
      if (order.kind === 'start') started.push(nth)
      return listens(order)
    })
    await servers.start()
    await servers.startOthers()
    const birth = nextBirth()
    born[1]?.die('exit code 1')
    await birth
    await servers.tell(changed) // goes to the new one too, behind its start
    expect(started).toEqual([0, 1, 2])
  })

  it('are not replaced once they are to stop', async () => {
    const orders: string[] = []
    const { servers, born } = stand(() => order => {
      orders.push(order.kind)
      return listens(order)
    })
    await servers.start()
    await servers.startOthers()
    await servers.stop(1000)
    expect(orders.filter(kind => kind === 'stop')).toHaveLength(2)
    expect(born).toHaveLength(2)
  })

  it('go on counting what a dead one had counted, and forget how it fared', async () => {
    const metrics = [createMetrics(), createMetrics(), createMetrics()]
    const { servers, born, nextBirth } = stand(nth => order => {
      const own = metrics[nth]
      return order.kind === 'metrics' && own ? countedBy(own) : listens(order)
    })
    await servers.start()
    await servers.startOthers()
    for (const [nth, own] of metrics.entries()) {
      own.writes.inc({ operation: 'upload', status: '201' }, 10 ** nth)
      own.flightWaiters.set(1)
    }
    const values = async (name: string) =>
      (await sum(await servers.metrics()).getMetricsAsJSON())
        .find(metric => metric.name === name)
        ?.values.map(({ value }) => value)
    expect(await values('layover_writes_total')).toEqual([11])
    const birth = nextBirth()
    born[0]?.die('SIGKILL')
    await birth
    expect(await values('layover_writes_total')).toEqual([111])
    expect(await values('layover_flight_waiters')).toEqual([2])
  })

  it('go on counting what two counted that died at once, in every scrape', async () => {
    const own = [createMetrics(), createMetrics()]
    const { servers, born } = stand(nth => order => {
      const metrics = own[nth]
      if (order.kind !== 'metrics') return listens(order)
      return metrics ? countedBy(metrics) : []
    })
    await servers.start()
    await servers.startOthers()
    for (const metrics of own) metrics.writes.inc({ operation: 'upload', status: '201' }, 10)
    const written = async () =>
      (await sum(await servers.metrics()).getMetricsAsJSON())
        .find(({ name }) => name === 'layover_writes_total')
        ?.values.map(({ value }) => value)
    expect(await written()).toEqual([20])
    for (const { die } of born.slice()) die('SIGKILL')
    for (let scrape = 0; scrape < 5; scrape += 1) expect(await written()).toEqual([20])
  })

  it('fail no reload when they die of it', async () => {
    const { servers, born } = stand(
      nth => order => (order.kind === 'reload' && nth === 0 ? new Promise(() => {}) : listens(order)),
    )
    await servers.start()
    await servers.startOthers()
    const reloading = servers.reload({ kind: 'reload', config: {} as never })
    born[0]?.die('SIGKILL')
    await reloading
  })
})
