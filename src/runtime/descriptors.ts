/** Descriptors: a process has so many. Those that are only kept for later make way for what is wanted now. */

/** Each closes what it keeps, and resolves when that is done. */
const keepers = new Set<() => Promise<void>>()

/** Registers who keeps descriptors that nobody needs. Disposing takes it out again. */
export function keepsDescriptors(giveBack: () => Promise<void>): Disposable {
  keepers.add(giveBack)
  return { [Symbol.dispose]: () => void keepers.delete(giveBack) }
}

/** The process, or the machine, has too many files and connections open. */
export function isOutOfDescriptors(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'EMFILE' || error.code === 'ENFILE')
}

/** Runs a task that opens something, and once more with what is given back when there was no descriptor for it. */
export async function withDescriptor<T>(task: () => Promise<T>): Promise<T> {
  try {
    return await task()
  } catch (error) {
    if (!isOutOfDescriptors(error)) throw error
    await Promise.all([...keepers].map(giveBack => giveBack()))
    return task()
  }
}
