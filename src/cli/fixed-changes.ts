/** What of a new configuration a running process cannot take over. */
import { isDeepStrictEqual } from 'node:util'
import type { Config } from '../config/config.ts'
import { isSamePlace } from '../edge/listener.ts'

/** @returns keys that take effect at the next start */
export function fixedChanges(before: Config, after: Config): string[] {
  const listensThere =
    before.listen.length === after.listen.length &&
    before.listen.every(old => after.listen.some(address => isSamePlace(address, old)))
  const storesThere = isDeepStrictEqual(before.store, after.store)
  return [
    ...(listensThere ? [] : ['listen']),
    ...(isDeepStrictEqual(before.admin, after.admin) ? [] : ['admin']),
    ...(isDeepStrictEqual(before.index, after.index) ? [] : ['index']),
    ...(storesThere ? [] : ['store']),
    ...(isDeepStrictEqual(before.replica, after.replica) ? [] : ['replica']),
    ...(before.limits.memory === after.limits.memory ? [] : ['limits.memory']),
  ]
}

/** The new configuration, but for what is fixed: an address keeps its place, and takes the rest of its settings over. */
export function takenOver({ admin, store, index, replica, ...before }: Config, after: Config): Config {
  const listen = before.listen.map(old => after.listen.find(address => isSamePlace(address, old)) ?? old)
  const limits = { ...after.limits, memory: before.limits.memory }
  return { ...after, listen, admin, store, index, replica, limits }
}
