/** The `CDN-Loop` marks (RFC 8586) of the request that we act for: they travel on to the upstreams asked because of it. */
import { AsyncLocalStorage } from 'node:async_hooks'

const marks = new AsyncLocalStorage<string>()

/** Through so many Layovers a request may pass; more of them go in circles. */
const maxHops = 10

export function mark(loopId: string): string {
  return `layover;${loopId}`
}

/** Whether a request with these marks was here before, or has come too far. */
export function goesInCircles(header: string, loopId: string): boolean {
  const hops = header
    .split(',')
    .map(part => part.replaceAll(/\s/g, ''))
    .filter(part => part.startsWith('layover;'))
  return hops.includes(mark(loopId)) || hops.length > maxHops
}

/** Everything that the task sets off, also behind its answer, carries the marks on. */
export function withMarks<T>(header: string, task: () => T): T {
  return header === '' ? task() : marks.run(header, task)
}

/** The header for an upstream: the marks so far, and ours. */
export function nextMarks(loopId: string): string {
  const before = marks.getStore()
  return before === undefined ? mark(loopId) : `${before}, ${mark(loopId)}`
}
