/** A blob on its way into a local repository. */

export interface PushedBlob {
  /** Bytes. */
  readonly size: number
  /** Its bytes are on disk when this resolves, and nobody hears of it before; undefined: they are. */
  readonly stored?: Promise<void> | undefined
  /** Asked before anything is written, while it is certain whether the repository holds it. Throws to refuse. */
  readonly allow?: ((isHeld: boolean) => void) | undefined
}
