/** A popular tag, asked for again and again while it counts as fresh. */
import type { Figure } from '../figure.ts'
import { registry, type Site } from '../site.ts'

const times = 1000

export async function fresh(site: Site): Promise<Figure[]> {
  await using layover = await site.startLayover()
  await site.origin.call('addManifest', { tag: 'kept' })
  const url = `${layover.url}/v2/${registry}/bench/app/manifests/kept`
  await site.client.call('ask', { url })
  await site.origin.call('takeLog', undefined)
  const statuses = await site.client.call('askOften', { url, times, connections: 8 })
  const asked = (await site.origin.call('takeLog', undefined)).length
  const right = statuses.get(200) ?? 0
  return [
    {
      figure: `upstream requests for ${times} of a fresh tag`,
      goal: '0',
      measured: `${asked}; ${right} of ${times} answered 200`,
      reached: asked === 0 && right === times,
    },
  ]
}
