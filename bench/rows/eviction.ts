/** What is in the cache when it is asked for: Layover's way to make room beside LRU and who knows the future. Simulated. */
import { mean, ratiosOf, relative } from '../eviction/compare.ts'
import { belady } from '../eviction/policies/belady.ts'
import { layover } from '../eviction/policies/layover.ts'
import { lru } from '../eviction/policies/ranked.ts'
import { shapes } from '../eviction/shapes.ts'
import type { Figure } from '../figure.ts'
import type { Site } from '../site.ts'

const goal = 1.05
const caps = [0.1, 0.25]

export async function eviction({ quick }: Pick<Site, 'quick'>): Promise<Figure[]> {
  const seeds = quick ? [1] : [1, 2, 3]
  return Object.entries(shapes).flatMap(([shape, makeTrace]) => {
    const traces = seeds.map(makeTrace)
    return caps.map(cap => {
      const base = ratiosOf(traces, cap, { makePolicy: lru })
      const ours = ratiosOf(traces, cap, { makePolicy: layover, useOf: 'all' })
      const best = ratiosOf(traces, cap, { makePolicy: belady })
      const ratio = mean(relative(ours, base, 'bytes'))
      return {
        figure: `byte hit ratio / LRU's, ${shape}, cap of ${cap * 100} %`,
        goal: `≥ ${goal}`,
        measured: `${ratio.toFixed(3)}; Belady's ${mean(relative(best, base, 'bytes')).toFixed(3)}`,
        reached: ratio >= goal,
      }
    })
  })
}
