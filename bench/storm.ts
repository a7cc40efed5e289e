/** Wrong logins at a fixed pace from many addresses, as a process of its own. */
import { Agent, request } from 'node:http'
import { answerCalls } from './child.ts'
import { nowMs } from './monotonic.ts'

interface Storm {
  url: string
  perSecond: number
  /** Loopback has as many as one likes. */
  addresses: number
  seconds: number
}

interface Blown {
  refused: number
  /** Nothing was looked at: too many failures (429), or too many waiting (503). */
  limited: number
  /** Any other answer, or none. */
  other: number
}

const tickMs = 5

export const calls = {
  async blow({ url, perSecond, addresses, seconds }: Storm): Promise<Blown> {
    const agents = Array.from({ length: addresses }, (_, at) => ({
      agent: new Agent({ keepAlive: true, maxSockets: 4 }),
      localAddress: `127.0.1.${at + 1}`,
    }))
    const blown: Blown = { refused: 0, limited: 0, other: 0 }
    const startedMs = nowMs()
    const pending: Promise<void>[] = []
    for (let sent = 0; sent < perSecond * seconds; ) {
      const due = Math.min(((nowMs() - startedMs) / 1000) * perSecond, perSecond * seconds)
      for (; sent < due; sent += 1) pending.push(attempt(url, sent, agents[sent % addresses], blown))
      await new Promise(resolve => setTimeout(resolve, tickMs))
    }
    await Promise.all(pending)
    for (const { agent } of agents) agent.destroy()
    return blown
  },
}

answerCalls(calls)

async function attempt(
  url: string,
  nth: number,
  from: { agent: Agent; localAddress: string } | undefined,
  blown: Blown,
): Promise<void> {
  const login = Buffer.from(`user-${nth % 100}:wrong ${nth}`).toString('base64')
  const status = await new Promise<number>(resolve => {
    const asking = request(url, { ...from, headers: { authorization: `Basic ${login}` } }, answer => {
      answer.resume()
      answer.once('close', () => resolve(answer.statusCode ?? 0))
    })
    asking.once('error', () => resolve(0)).end()
  })
  if (status === 401) blown.refused += 1
  else if (status === 429 || status === 503) blown.limited += 1
  else blown.other += 1
}
