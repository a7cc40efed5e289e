/** Hit ratios of one policy on several traces, and how they compare. */
import { type MakePolicy, type Ratios, type SimulateOptions, simulate } from './simulate.ts'
import type { Trace } from './trace.ts'

export interface Contender extends SimulateOptions {
  readonly makePolicy: MakePolicy
}

/** One of each trace. `cap` is a share of all bytes that are ever asked for. */
export function ratiosOf(traces: readonly Trace[], cap: number, contender: Contender): Ratios[] {
  const { makePolicy, ...options } = contender
  return traces.map(trace => simulate(trace, trace.footprintBytes * cap, makePolicy, options))
}

/** Trace by trace. */
export function relative(ratios: readonly Ratios[], base: readonly Ratios[], what: keyof Ratios): number[] {
  return ratios.map((ratio, at) => ratio[what] / (base[at]?.[what] ?? Number.NaN))
}

export function mean(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0) / values.length
}
