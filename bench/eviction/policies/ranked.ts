/** Policies that give each blob a key and evict the least: LRU, LFU-DA, GDSF, LRU-2. */
import { Heap } from '../heap.ts'
import type { MakePolicy, Setting } from '../simulate.ts'

/** Before its first use here: counts and times of a blob that is not here are zero. */
interface Ranking {
  /** The new key of a blob used now; `count` includes this use. */
  key(use: { blob: number; atMs: number; count: number; beforeMs: number }): number
  evicted?(key: number): void
}

export const lru: MakePolicy = ranked(() => ({ key: ({ atMs }) => atMs }))

/** Least frequently used; what is evicted raises the floor for what comes. */
export const lfuDa: MakePolicy = greedyDual(() => 1)

/** Greedy-Dual-Size-Frequency: as above, per byte. */
export const gdsf: MakePolicy = greedyDual(size => 1 / size)

/** In between: large blobs count less, but not in proportion. */
export const gdsfRoot: MakePolicy = greedyDual(size => 1 / size ** 0.5)
export const gdsfMild: MakePolicy = greedyDual(size => 1 / size ** 0.2)

/** By the last use but one; what was used once goes first. */
export const lru2: MakePolicy = ranked(() => ({
  key: ({ atMs, count, beforeMs }) => (count > 1 ? beforeMs : atMs - 1e15),
}))

function greedyDual(worth: (size: number) => number): MakePolicy {
  return ranked(({ sizes }) => {
    let floor = 0
    return {
      key: ({ blob, count }) => floor + count * worth(sizes[blob] ?? 1),
      evicted: key => {
        floor = key
      },
    }
  })
}

export function ranked(make: (setting: Setting) => Ranking): MakePolicy {
  return setting => {
    const ranking = make(setting)
    const heap = new Heap(setting.sizes.length)
    const counts = new Int32Array(setting.sizes.length)
    const lastMs = new Float64Array(setting.sizes.length)
    const use = (blob: number, atMs: number) => {
      const count = (counts[blob] ?? 0) + 1
      counts[blob] = count
      heap.put(blob, ranking.key({ blob, atMs, count, beforeMs: lastMs[blob] ?? 0 }))
      lastMs[blob] = atMs
    }
    return {
      used: use,
      added: use,
      evict: () => {
        const victim = heap.take()
        counts[victim] = 0
        lastMs[victim] = 0
        ranking.evicted?.(heap.key(victim))
        return victim
      },
    }
  }
}
