/** Knows the future: what is needed latest goes first, of what is never needed again the largest. Not exact for sizes that differ. */
import { Heap } from '../heap.ts'
import type { MakePolicy } from '../simulate.ts'

export const belady: MakePolicy = ({ sizes, trace }) => {
  const usesMs: number[][] = sizes.map(() => [])
  for (const { atMs, asked } of trace.pulls) for (const blob of asked) usesMs[blob]?.push(atMs)
  const done = new Int32Array(sizes.length)
  const heap = new Heap(sizes.length)
  const use = (blob: number, atMs: number) => {
    const times = usesMs[blob] ?? []
    let next = done[blob] ?? 0
    while (next < times.length && (times[next] ?? 0) <= atMs) next += 1
    done[blob] = next
    heap.put(blob, -(times[next] ?? 1e15 + (sizes[blob] ?? 0)))
  }
  return { used: use, added: use, evict: () => heap.take(), everyUse: true }
}
