/** Why another replica did not give what it was asked for. */

export type PeerFailure =
  /** Nobody listens there any more. */
  | 'dead'
  /** It does not have it, nor is it fetching it. */
  | 'absent'
  /** It does not take us for one of its own, or answers nonsense. */
  | 'refused'
  /** Nothing came for a while. */
  | 'silent'
  /** The connection broke, or did not come about. */
  | 'broken'

export class PeerError extends Error {
  override readonly name = 'PeerError'
  readonly failure: PeerFailure

  constructor(failure: PeerFailure, message: string, options?: ErrorOptions) {
    super(message, options)
    this.failure = failure
  }
}
