/** A lazy reader wants the end of a blob that is not here. */
import { Content, MiB } from '../content.ts'
import type { Figure } from '../figure.ts'
import type { Exchange } from '../origin.ts'
import type { Site } from '../site.ts'

const size = 100 * MiB
const wanted = 100

export async function tail(site: Site): Promise<Figure[]> {
  await using layover = await site.startLayover()
  const figures: Figure[] = []
  const asks = [`bytes=-${wanted}`, `bytes=${size - wanted}-${size - 1}`]
  for (const range of asks) figures.push(...(await oneTail(site, layover.url, range)))
  return figures
}

async function oneTail(site: Site, url: string, range: string): Promise<Figure[]> {
  const blob = await site.addBlob(size)
  const answer = await site.client.call('ask', { url: url + blob.path, headers: { range } })
  const { exchanges } = await site.upstreamCost(blob.digest)
  const bytes = sentBefore(exchanges, answer.endedMs)
  const right =
    new Content(blob.spec).matches(size - wanted, Buffer.from(answer.body)) && answer.body.length === wanted
  const took = (answer.endedMs - answer.startedMs).toFixed(0)
  return [
    {
      figure: range,
      goal: '206, right',
      measured: `${answer.status}, ${right ? 'right' : 'wrong'}, ${took} ms`,
      reached: answer.status === 206 && right,
    },
    {
      figure: '  upstream bytes before the answer ended',
      goal: '≤ 1 MiB',
      measured: `${bytes} bytes`,
      reached: bytes <= MiB,
    },
  ]
}

function sentBefore(exchanges: readonly Exchange[], endedMs: number): number {
  const writes = exchanges.flatMap(({ sent }) => sent).filter(({ atMs }) => atMs <= endedMs)
  return writes.reduce((total, { bytes }) => total + bytes, 0)
}
