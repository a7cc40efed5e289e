/** Bytes at positions: what a stored file and a blob in flight have in common for who reads them. */

export interface Bytes {
  /**
   * The bytes from `position` on: at least one, waited for if need be, or none at the end. They are the start of
   * `target`, or, where they are in memory anyway, a buffer that others read too and nobody may change: never more
   * than `target` has room for. Rejects when the bytes will not come.
   */
  read(target: Buffer, position: number): Promise<Buffer>
  /** Gives up the interest in the bytes. */
  close(): void
}
