/** One clock for all processes of a run: origin and client note times that can be compared. */

/** Milliseconds of the machine's monotonic clock, with fractions. */
export function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6
}
