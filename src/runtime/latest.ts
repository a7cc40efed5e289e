/** Maps that keep so many entries, the most recently used. */
import { LRUCache } from 'lru-cache'

/** For many: unlike one with `max` it takes time and memory only for the entries it has, and hundreds of them may be empty. */
export function latest<Key extends {}, Value extends {}>(max: number): LRUCache<Key, Value> {
  return new LRUCache({ maxSize: max, sizeCalculation: () => 1 })
}
