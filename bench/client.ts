/** The clients of a run, as a process of their own. */
import { Agent, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { askMany, putMany } from './asking.ts'
import { type BulkAsk, readBulk, type Transfer } from './bulk.ts'
import { answerCalls } from './child.ts'
import { Content, type ContentSpec } from './content.ts'
import { drain } from './drain.ts'
import { nowMs } from './monotonic.ts'
import { pushAll } from './pushing.ts'
import { replay } from './replay.ts'
import { letGo, stall } from './stalling.ts'
import { steady } from './steady.ts'

/** Nothing that is asked here should take longer; an answer that does is no answer. */
const longestMs = 60_000

export interface Answer {
  /** 0: none came, or it broke. */
  status: number
  headers: IncomingHttpHeaders
  body: Buffer
  startedMs: number
  endedMs: number
}

interface Ask {
  url: string
  headers?: Record<string, string>
}

export const calls = {
  push: pushAll,
  askMany,
  putMany,
  drain,
  replay,
  steady,
  stall,
  letGo,

  /** So many readers at once. */
  bulk({ spec, readers, ...ask }: Bulk): Promise<Transfer[]> {
    const content = new Content(spec)
    return Promise.all(Array.from({ length: readers }, () => readBulk({ ...ask, content })))
  },

  ask(ask: Ask): Promise<Answer> {
    return exchange(ask, new Agent())
  },

  /** The same question again and again over a few kept connections; resolves with how often each status came. */
  async askOften({ url, times, connections }: Often): Promise<Map<number, number>> {
    const agent = new Agent({ keepAlive: true, maxSockets: connections })
    const statuses = new Map<number, number>()
    let left = times
    await Promise.all(
      Array.from({ length: connections }, async () => {
        while (left > 0) {
          left -= 1
          const { status } = await exchange({ url }, agent)
          statuses.set(status, (statuses.get(status) ?? 0) + 1)
        }
      }),
    )
    agent.destroy()
    return statuses
  },
}

answerCalls(calls)

async function exchange({ url, headers = {} }: Ask, agent: Agent): Promise<Answer> {
  const startedMs = nowMs()
  try {
    const response = await open(url, headers, agent)
    const body = await buffer(response)
    return { status: response.statusCode ?? 0, headers: response.headers, body, startedMs, endedMs: nowMs() }
  } catch {
    return { status: 0, headers: {}, body: Buffer.alloc(0), startedMs, endedMs: nowMs() }
  }
}

function open(url: string, headers: Record<string, string>, agent: Agent): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  request(url, { agent, headers, signal: AbortSignal.timeout(longestMs) }, resolve)
    .on('error', reject)
    .end()
  return promise
}

interface Bulk extends Omit<BulkAsk, 'content'> {
  spec: ContentSpec
  readers: number
}

interface Often {
  url: string
  times: number
  connections: number
}
