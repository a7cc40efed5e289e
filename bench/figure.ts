/** What a row reports: one line of the table each. */

export interface Figure {
  readonly figure: string
  readonly goal: string
  readonly measured: string
  /** Undefined: reported without a goal. */
  readonly reached: boolean | undefined
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
