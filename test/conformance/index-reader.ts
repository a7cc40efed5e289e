/** An index that is written by one process's means and read by another's. */
import type { Index, IndexReads } from '../../src/index/index.ts'
import { openIndexReader } from '../../src/index/rows/reader.ts'

const reads: Record<keyof IndexReads, true> = {
  tag: true,
  manifest: true,
  blob: true,
  manifests: true,
  tags: true,
  tagsOf: true,
  referrers: true,
  childSize: true,
  parentsOf: true,
  publicBlob: true,
  holdersOf: true,
  listing: true,
  registries: true,
  repositories: true,
}

/** Each read flushes, tells the reader of the state and asks it. */
export function readBeside(written: Index, path: string): Index {
  const reader = openIndexReader(path)
  return new Proxy(written, {
    get: (target, name) => {
      const method: unknown = Reflect.get(target, name, target)
      if (typeof method !== 'function') return method
      return async (...args: unknown[]) => {
        const isRead = Object.hasOwn(reads, name)
        if (isRead) await written.flush()
        if (isRead || name === 'close') reader.use(written.shared)
        return isRead
          ? Reflect.apply(Reflect.get(reader.index, name) as typeof method, reader.index, args)
          : Reflect.apply(method, target, args)
      }
    },
  })
}
