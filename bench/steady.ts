/** Requests at a fixed pace, whatever becomes of those before: each one's time counts from when it was due, so that a server that hangs hides nothing. */
import { type Answer, Connection, requestOf } from './drain.ts'
import { nowMs } from './monotonic.ts'
import { percentile } from './peers/load.ts'

export interface SteadyAsk {
  url: string
  /** Below the URL, in turn. */
  paths: readonly string[]
  headers?: Readonly<Record<string, string>>
  perSecond: number
  seconds: number
  /** Kept ones; what finds none of them free waits for one. */
  connections: number
}

export interface Steady {
  requests: number
  /** Answers other than 2xx and broken connections. */
  failed: number
  perSecond: number
  p50Ms: number
  p99Ms: number
  p999Ms: number
  longestMs: number
}

/** Between two looks at what is due. */
const tickMs = 2

export async function steady({
  url,
  paths,
  headers,
  perSecond,
  seconds,
  connections,
}: SteadyAsk): Promise<Steady> {
  const requests = paths.map(path => requestOf(url + path, { Accept: '*/*', ...headers }))
  const startedMs = nowMs()
  const count = Math.ceil(perSecond * seconds)
  const took: number[] = []
  let failed = 0
  let next = 0
  const dueMs = (turn: number) => startedMs + (turn / perSecond) * 1000
  await Promise.all(
    Array.from({ length: connections }, async () => {
      let connection = new Connection(url)
      for (;;) {
        const turn = next
        if (turn >= count) break
        if (dueMs(turn) > nowMs()) {
          await new Promise(resolve => setTimeout(resolve, tickMs))
          continue
        }
        next += 1
        const { status }: Answer = await connection.ask(requests[turn % requests.length] ?? Buffer.alloc(0))
        took.push(nowMs() - dueMs(turn))
        if (status >= 200 && status < 300) continue
        failed += 1
        connection[Symbol.dispose]()
        connection = new Connection(url)
      }
      connection[Symbol.dispose]()
    }),
  )
  const sorted = took.toSorted((a, b) => a - b)
  return {
    requests: count,
    failed,
    perSecond,
    p50Ms: percentile(sorted, 0.5),
    p99Ms: percentile(sorted, 0.99),
    p999Ms: percentile(sorted, 0.999),
    longestMs: sorted.at(-1) ?? Number.NaN,
  }
}
