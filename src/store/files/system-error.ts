/** Errors of the operating system, by their codes. */

export function isCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code))
}

/** Undefined for what is not there. Rejects with other errors. */
export async function ifThere<T>(found: Promise<T>): Promise<T | undefined> {
  try {
    return await found
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined
    throw error
  }
}
