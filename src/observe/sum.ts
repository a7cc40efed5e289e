/** Metrics of several processes as one. */
import { type MetricObjectWithValues, type MetricValue, Registry } from '@prometheus-io/client'
import type { Metrics } from './metrics.ts'

/** What a process has counted, as it may be sent to another. */
export type Counted = readonly MetricObjectWithValues<MetricValue<string>>[]

export function countedBy({ registry }: Metrics): Promise<Counted> {
  return registry.getMetricsAsJSON()
}

/** What is left of a process that is no more: how it fares is nobody's concern, what it did goes on counting. */
export function remaining(counted: Counted): Counted {
  return counted.filter(({ type }) => type !== 'gauge')
}

export function sum(all: readonly Counted[]): Registry {
  return Registry.aggregate([...all])
}
