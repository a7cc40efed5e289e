/** Whether an event of the file system concerns the configuration. A decision only; nothing is read here. */
import { join } from 'node:path'

/**
 * `file`: one of the files themselves. `swap`: Kubernetes replaced a mounted ConfigMap or Secret, whose files are
 * links through the link `..data`. An event without a name may be anything and counts as `file`.
 */
export type Change = 'file' | 'swap' | 'unrelated'

export function classify(folder: string, name: string | null, files: ReadonlySet<string>): Change {
  if (name === null) return 'file'
  if (name === '..data') return 'swap'
  return files.has(join(folder, name)) ? 'file' : 'unrelated'
}
