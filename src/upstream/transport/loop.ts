/** The `CDN-Loop` marks (RFC 8586) of the request that we act for: they travel on to the upstreams asked because of it. */
import { AsyncLocalStorage } from 'node:async_hooks'

const marks = new AsyncLocalStorage<string>()

/** The last of them, and so many, travel on: a request that is back from a smaller circle has ours among them. */
const mostMarks = 32

export function mark(loopId: string): string {
  return `layover;${loopId}`
}

/**
 * The marks of Layovers in a client's header. Those of others are not passed on: the answer to our request is for
 * everybody, and a CDN that is shown marks of its own refuses.
 */
export function marksIn(header: string): readonly string[] {
  if (header === '') return []
  return header
    .split(',')
    .map(part => part.replaceAll(/\s/g, ''))
    .filter(part => /^layover;[\w.-]{1,64}$/.test(part))
}

/**
 * Whether a request with these marks was here before. How many there are says nothing: who asks may have made them up,
 * and a refusal further on would be the answer for everybody who waits for the same.
 */
export function goesInCircles(hops: readonly string[], loopId: string): boolean {
  return hops.includes(mark(loopId))
}

/** Everything that the task sets off, also behind its answer, carries the marks on. */
export function withMarks<T>(hops: readonly string[], task: () => T): T {
  return hops.length === 0 ? task() : marks.run(hops.slice(-mostMarks).join(', '), task)
}

/** The header for an upstream: the marks so far, and ours. */
export function nextMarks(loopId: string): string {
  const before = marks.getStore()
  return before === undefined ? mark(loopId) : `${before}, ${mark(loopId)}`
}
