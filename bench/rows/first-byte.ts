/** How long upstream's first bytes take to pass through Layover. */
import { MiB } from '../content.ts'
import { type Figure, median } from '../figure.ts'
import type { Site } from '../site.ts'

const size = 16 * MiB
const pulls = 25
/** The first pulls of a process are slower; they are counted apart. */
const warmUps = 5

export async function firstByte(site: Site): Promise<Figure[]> {
  await site.origin.call('shape', 100 * MiB)
  await using layover = await site.startLayover()
  const latencies = []
  for (let pull = 0; pull < pulls; pull += 1) {
    const blob = await site.addBlob(size)
    const { firstByteMs = Number.POSITIVE_INFINITY } = await site.read(layover.url + blob.path, blob)
    await site.settled(layover, blob)
    const { exchanges } = await site.upstreamCost(blob.digest)
    const headersMs = exchanges.find(({ method }) => method === 'GET')?.headersMs ?? Number.NaN
    latencies.push(firstByteMs - headersMs)
  }
  await site.origin.call('shape', 0)
  const warm = latencies.slice(warmUps).sort((a, b) => a - b)
  const ninth = warm[Math.floor(warm.length * 0.9)] ?? Number.NaN
  return [
    {
      figure: "first byte after upstream's headers, median",
      goal: '≤ 5 ms',
      measured: `${median(warm).toFixed(1)} ms; p90 ${ninth.toFixed(1)}, first pull ${latencies[0]?.toFixed(1)}`,
      reached: median(warm) <= 5,
    },
  ]
}
