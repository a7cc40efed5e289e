/** What of the configuration says how much is kept, and for how long. */
import type { Pin } from '../../collect/pins.ts'
import type { Config } from '../../config/config.ts'
import type { CapacityLimits } from '../../store/eviction/capacity.ts'

/** A twentieth of a small disk, and no more of a large one than it takes to go on working. */
const minFreeByDefault = { share: 0.05, mostBytes: 10 * 2 ** 30 }

export function capacityLimits({ capacity, upstreams }: Config): CapacityLimits {
  const keepingOf = (registry: string) =>
    upstreams.find(({ options }) => options.registry === registry)?.keeping
  return {
    maxBytes: capacity.maxBytes,
    maxBytesOf: registry => keepingOf(registry)?.maxBytes ?? Number.POSITIVE_INFINITY,
    unusedMsOf: registry => keepingOf(registry)?.unusedMs ?? Number.POSITIVE_INFINITY,
    minFree: diskBytes => {
      const { minFree } = capacity
      if (minFree) return minFree.bytes + minFree.share * diskBytes
      return Math.min(minFreeByDefault.share * diskBytes, minFreeByDefault.mostBytes)
    },
  }
}

/** By registry. */
export function pinsOf({ upstreams }: Config): ReadonlyMap<string, readonly Pin[]> {
  return new Map(upstreams.map(({ options, keeping }) => [options.registry, keeping.pins]))
}

/** What it depends on which repositories are counted together; where it changes, all is counted anew. */
export function quotaScopes({ local, upstreams }: Config): string {
  return JSON.stringify([
    local.map(({ name, match, quota }) => [name, match, quota !== undefined]),
    upstreams.map(({ options, aliases, isDefault }) => [options.registry, aliases, isDefault]),
  ])
}
