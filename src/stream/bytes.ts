/** Bytes at positions: what a stored file and a blob in flight have in common for who reads them. */

export interface Bytes {
  /**
   * Fills the start of `target` from `position` and resolves with how much: at least one byte, waiting for it if need
   * be, or 0 at the end. Rejects when the bytes will not come.
   */
  read(target: Buffer, position: number): Promise<number>
  /** Gives up the interest in the bytes. */
  close(): void
}
