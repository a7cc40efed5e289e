/** A server and a primary in front of handlers that the test brings: both real, with a real socket between them. */

import type { Answer } from '../../../src/edge/answer.ts'
import { type Exchange, openExchange } from '../../../src/edge/exchange.ts'
import { Listener } from '../../../src/edge/listener.ts'
import { createResponder } from '../../../src/edge/respond.ts'
import { Forward, type ForwardDeps } from '../../../src/edge/siblings/forward.ts'
import { Inward } from '../../../src/edge/siblings/inward.ts'
import { createLogger } from '../../../src/observe/log.ts'
import { BufferPool } from '../../../src/stream/buffer-pool.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { type AskOptions, ask, open } from '../scene.ts'

export type Handler = (exchange: Exchange) => Promise<Answer>

export interface Setting {
  /** What the server finds in the store. */
  opened?: ForwardDeps['open']
  stalledMs?: number
  silence?: () => AbortSignal
}

export type Siblings = Awaited<ReturnType<typeof siblings>>

export async function siblings(
  handler: Handler,
  { opened, stalledMs = 60_000, silence = () => new AbortController().signal }: Setting = {},
) {
  const dir = await tempDir()
  const log = createLogger('silent')
  /** Of each process, in the order they began. */
  const primary: Exchange[] = []
  const server: Exchange[] = []
  const deps = { draining: () => false, stalledMs: () => stalledMs }
  const inner = createResponder({ ...deps, pool: new BufferPool() })
  const outer = createResponder({ ...deps, pool: new BufferPool() })
  const inward = new Inward({
    log,
    answer: exchange => {
      primary.push(exchange)
      void inner.respond(exchange, handler(exchange))
    },
  })
  const inlet = await inward.listen()
  const forward = new Forward({ inlet, open: opened ?? (async () => undefined), silence })
  const listener = new Listener(
    { host: '127.0.0.1', port: 0, role: 'mirror', tls: undefined },
    {
      log,
      maxConnections: () => 10_000,
      connectionsPerClient: () => 0,
      headersMs: () => 65_000,
      answer: (request, response) => {
        const exchange = openExchange(request, response, { role: 'mirror' })
        server.push(exchange)
        void outer.respond(exchange, forward.answer(exchange))
      },
    },
  )
  const { port } = await listener.open()
  const url = `http://127.0.0.1:${port}`
  return {
    url,
    port,
    inlet,
    primary,
    server,
    /** Connections between the two that the primary knows. */
    innerPorts: () => new Set(primary.map(({ request }) => request.socket)).size,
    ask: (path: string, options?: AskOptions) => ask(url, path, options),
    open: (path: string, options?: AskOptions) => open(url, path, options),
    kill: () => inward.close(),
    async [Symbol.asyncDispose]() {
      const closed = listener.close()
      listener.cut()
      await closed
      await forward.close()
      await inward.close()
      await dir[Symbol.asyncDispose]()
    },
  }
}

export function text(body: string, { status = 200, headers = {} }: Partial<Answer> = {}): Answer {
  return { status, headers, content: { kind: 'buffer', buffer: Buffer.from(body) } }
}
