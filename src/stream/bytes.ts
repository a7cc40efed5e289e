/** Bytes at positions: what a stored file and a blob in flight have in common for who reads them. */

export interface Bytes {
  /**
   * The bytes from `position` on, in order: at least one, waited for if need be, or no buffer at the end. They are the
   * start of `target`, or, where they are in memory anyway, buffers that others read too and nobody may change: never
   * more in all than `target` has room for. They are good until the second read after this one is asked for: one may be
   * read ahead while another is sent. Rejects when the bytes will not come.
   */
  read(target: Buffer, position: number): Promise<readonly Buffer[]>
  /** Gives up the interest in the bytes. */
  close(): void
  /** The file that has the bytes, for other processes; undefined where there is none. */
  readonly shared?: SharedBytes | undefined
}

export interface SharedBytes {
  /** Where the file was opened: it may have been renamed since, to what it has in the end. */
  readonly path: string
  /**
   * How far the file may be read, waited for until that is beyond `position`; no further than `position` at the end.
   * Undefined: the file gets no more, and `read` has the rest. Rejects when the bytes will not come.
   */
  until(position: number): Promise<number | undefined>
}

export function lengthOf(chunks: readonly Buffer[]): number {
  return chunks.reduce((sum, { length }) => sum + length, 0)
}

/**
 * Gives the memory of chunks back now: left to the collector, the chunks of a fast body cost more time than hashing them.
 * Nobody may look at them any more.
 */
export function letGo(chunks: readonly Buffer[]): void {
  for (const { buffer, byteLength } of chunks) {
    const isWhole = byteLength === buffer.byteLength // others may have the rest
    if (isWhole && buffer instanceof ArrayBuffer) buffer.transfer(0)
  }
}
