/** How long an upstream wants to be left alone, as clients may wait without being asked. */
import type { Clock } from '../../runtime/clock.ts'

const shortestMs = 1_000
const longestMs = 5 * 60_000
const defaultMs = 60_000

const units: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000 }

/** From `Retry-After` (seconds or a date), or from ghcr's text `retry-after: 1.16676ms`, within [1 s, 5 min]. */
export function retryAfterMs(header: string | undefined, body: string, clock: Clock): number {
  const asked = fromHeader(header, clock) ?? fromText(body) ?? defaultMs
  return Math.min(Math.max(asked, shortestMs), longestMs)
}

function fromHeader(header: string | undefined, clock: Clock): number | undefined {
  if (header === undefined || header.trim() === '') return undefined
  const seconds = Number(header)
  if (Number.isFinite(seconds)) return seconds * 1_000
  const date = Date.parse(header)
  return Number.isNaN(date) ? undefined : date - clock.now()
}

function fromText(body: string): number | undefined {
  const match = /retry-after:\s*(\d{1,9}(?:\.\d{1,9})?)\s*(ms|s|m)\b/i.exec(body)
  return match ? Number(match[1]) * (units[match[2]?.toLowerCase() ?? ''] ?? 1) : undefined
}
