/** The disk could not take a blob; its upstream may still give it. */

export class StoreFailure extends Error {
  override readonly name = 'StoreFailure'
}
