/** Where the admin API's socket lies. */
import { join } from 'node:path'

/** @param store the store's folder */
export function adminSocketOf(store: string): string {
  return join(store, 'admin.sock')
}
