/** Tasks that go on side by side and end together. */

/** Nothing is under way any more when this rejects with the first failure. */
export async function allDone(tasks: readonly Promise<unknown>[]): Promise<void> {
  const failed = (await Promise.allSettled(tasks)).find(result => result.status === 'rejected')
  if (failed) throw failed.reason
}
