/** Whether a promise waits for something. */

/** Asked once everything that is ready has run. */
export async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let done = false
  const mark = () => {
    done = true
  }
  void promise.then(mark, mark)
  await new Promise(setImmediate)
  return done
}
