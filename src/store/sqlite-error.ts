/** Errors of SQLite, by their primary result codes (https://sqlite.org/rescode.html). */

export const sqlite = { busy: 5, locked: 6, readOnly: 8, full: 13, cannotOpen: 14 }

export function isSqlite(error: unknown, ...codes: number[]): boolean {
  return error instanceof Error && 'errcode' in error && codes.includes(Number(error.errcode) & 0xff)
}
