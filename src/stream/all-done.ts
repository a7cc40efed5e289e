/** Several tasks, of which nothing is under way any more when the whole is told of. */

/** Rejects with the first failure when all have ended. */
export async function allDone(tasks: readonly Promise<unknown>[]): Promise<void> {
  const failed = (await Promise.allSettled(tasks)).find(result => result.status === 'rejected')
  if (failed) throw failed.reason
}
