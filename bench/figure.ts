/** What a row reports: one line of the table each. */

export interface Figure {
  readonly figure: string
  readonly goal: string
  readonly measured: string
  /** Undefined: reported without a goal. */
  readonly reached: boolean | undefined
  /** One server's share of a comparison, in numbers. */
  readonly compared?: Compared
}

export interface Compared {
  readonly work: string
  readonly server: string
  /** The server whose rate is 1. */
  readonly against: string
  /** Of `rates`. */
  readonly unit: 'requests/s' | 'bytes/s'
  readonly rates: readonly number[]
  /** To the rate of that server, round by round; empty: it is not here. */
  readonly ratios: readonly number[]
  /** Work done in a CPU second, to that server's: what others do on the machine tells least on it. */
  readonly cpuRatio: number | undefined
  readonly p50Ms: number
  readonly p99Ms: number
  readonly cpuMicrosPerRequest: number
  readonly cpuSecondsPerGiB: number
  /** After the work, shared pages divided among those who share them. */
  readonly memoryBytes: number
  /** CPU of the client, of one core. */
  readonly clientBusy: number
  readonly goal: number | undefined
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = (sorted.length - 1) / 2
  return ((sorted[Math.floor(middle)] ?? Number.NaN) + (sorted[Math.ceil(middle)] ?? Number.NaN)) / 2
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

/** The median, and from where to where the runs went. */
export function spread(values: readonly number[], digits: number, unit = ''): string {
  const [least, most] = [Math.min(...values).toFixed(digits), Math.max(...values).toFixed(digits)]
  const range = values.length > 1 ? ` (${least}–${most})` : ''
  return `${median(values).toFixed(digits)}${unit}${range}`
}
