/** Upstream's connection breaks twice within a blob. */
import { MiB } from '../content.ts'
import type { Figure } from '../figure.ts'
import type { Site } from '../site.ts'

const size = 60 * MiB

export async function cuts(site: Site): Promise<Figure[]> {
  await site.origin.call('shape', 100 * MiB)
  await using layover = await site.startLayover()
  const blob = await site.addBlob(size, { cuts: [20 * MiB + 4_321, 40 * MiB + 12_345] })
  const transfer = await site.read(layover.url + blob.path, blob, { hash: true })
  await site.origin.call('shape', 0)
  const { gets, bytes } = await site.upstreamCost(blob.digest)
  const right = transfer.right && blob.digest === `sha256:${transfer.sha256}`
  const seconds = ((transfer.endedMs - transfer.startedMs) / 1000).toFixed(2)
  return [
    {
      figure: 'one whole right body',
      goal: 'yes',
      measured: `${right ? 'yes' : 'no'}: ${transfer.bytes} of ${size} bytes, ${seconds} s, ${gets} upstream GETs`,
      reached: right,
    },
    {
      figure: 'upstream copies',
      goal: '≤ 1.05',
      measured: (bytes / size).toFixed(3),
      reached: bytes / size <= 1.05,
    },
  ]
}
