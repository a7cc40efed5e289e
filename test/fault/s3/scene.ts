/** Replicas over one bucket, with a proxy in between that lets the service fail. */
import { readdir, readFile } from 'node:fs/promises'
import { systemClock } from '../../../src/runtime/clock.ts'
import { type Internet, startInternet } from '../../fake/internet.ts'
import { type AskOptions, ask, hub } from '../../http/scene.ts'
import { startFaultProxy } from '../../support/fault-proxy.ts'
import { startTestLayover } from '../../support/layover.ts'
import { startS3 } from '../../support/s3.ts'

type Setting = Partial<Omit<Parameters<typeof startTestLayover>[0], 'upstreams' | 'clock' | 'lookup'>>

/** Of replicas in front of a bucket that hangs or throttles: less, and a busy machine would look like one. */
export const impatient = { timeouts: { connectMs: 500, requestMs: 1_500, idleMs: 1_500 } }

export type Replica = Awaited<ReturnType<typeof replica>>
export type SharedScene = Awaited<ReturnType<typeof sharedScene>>

export async function sharedScene() {
  const service = await startS3()
  const proxy = await startFaultProxy(service.port)
  const net = await startInternet({ clock: systemClock })
  const replicas: Replica[] = []
  return {
    service,
    proxy,
    net,
    /** With a disk of its own, unless told which. */
    async start(setting: Setting = {}): Promise<Replica> {
      const started = await replica({ service, net, port: proxy.port, setting })
      replicas.push(started)
      return started
    },
    /** Keys in the bucket below a prefix, in byte order. */
    keys: (prefix = '') => keysOf(service.path(''), prefix),
    read: (key: string) => readFile(service.path(key)),
    async [Symbol.asyncDispose]() {
      for (const started of replicas) await started.layover[Symbol.asyncDispose]()
      await net.close()
      await proxy[Symbol.asyncDispose]()
      await service[Symbol.asyncDispose]()
    },
  }
}

interface Replicating {
  service: Awaited<ReturnType<typeof startS3>>
  net: Internet
  port: number
  setting: Setting
}

async function replica({ service, net, port, setting }: Replicating) {
  const layover = await startTestLayover({
    ...setting,
    service,
    s3: { endpoint: `http://127.0.0.1:${port}`, ...setting.s3 },
    clock: net.clock,
    lookup: net.lookup,
    upstreams: [hub(net)],
  })
  return {
    layover,
    to: (name: string) => ({ url: layover.url, name }),
    ask: (path: string, options?: AskOptions) => ask(layover.url, path, options),
  }
}

async function keysOf(root: string, prefix: string): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true })
  return entries
    .filter(entry => entry.isFile())
    .map(entry => `${entry.parentPath}/${entry.name}`.slice(root.length).replace(/^\//, ''))
    .filter(key => key.startsWith(prefix))
    .sort()
}
