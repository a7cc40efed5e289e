/** What Layover does: src/store/eviction/policy.ts, with a heap for its index. */
import { arrived, rankOf, type Usage, used } from '../../../src/store/eviction/policy.ts'
import { Heap } from '../heap.ts'
import type { MakePolicy } from '../simulate.ts'

export const layover: MakePolicy = ({ sizes }) => {
  const ranks = new Heap(sizes.length)
  const usages = new Map<number, Usage>()
  const arrivals = new Map<number, number>()
  const put = (blob: number, usage: Usage) => {
    usages.set(blob, usage)
    ranks.put(blob, rankOf(usage))
  }
  return {
    added: (blob, atMs) => {
      arrivals.set(blob, atMs)
      put(blob, arrived(sizes[blob] ?? 0, atMs))
    },
    used: (blob, atMs) => {
      const before = usages.get(blob)
      const usage = before && used(before, atMs)
      if (usage) put(blob, usage)
    },
    evict: () => {
      const victim = ranks.take()
      usages.delete(victim)
      arrivals.delete(victim)
      return victim
    },
    lose: () => {
      for (const [blob, atMs] of arrivals) put(blob, arrived(sizes[blob] ?? 0, atMs))
    },
  }
}
