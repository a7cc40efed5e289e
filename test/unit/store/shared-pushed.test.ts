/** Taking pushed bytes away from an object store that does not answer in time. */
import { setImmediate } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { digestOf } from '../../../src/oci/digest.ts'
import { ObjectsFailure } from '../../../src/store/objects.ts'
import { SharedPushed, type SharedPushedDeps } from '../../../src/store/shared/pushed.ts'

const content = Buffer.from('layer')
const digest = digestOf(content)

test('who brings the bytes again waits until a removal that nobody answered cannot happen any more', async () => {
  const there = new Set<string>()
  const over = Promise.withResolvers<void>()
  const bucket = {
    put: async (key: string) => there.add(key),
    remove: async (key: string) => {
      void over.promise.then(() => there.delete(key))
      throw new ObjectsFailure('timeout', 'no answer')
    },
  }
  const pushed = new SharedPushed({
    bytes: { use: (task: (at: typeof bucket) => unknown) => task(bucket) },
    cached: { put: async () => true },
    capacity: undefined,
    assertOwner: () => {},
    untilOver: () => over.promise,
  } as unknown as SharedPushedDeps)
  await pushed.claim(digest, () => pushed.put(digest, content))
  const removing = pushed.remove(digest, () => true).catch((error: unknown) => error)
  const bringing = pushed.claim(digest, () => pushed.put(digest, content))
  await setImmediate()
  over.resolve()
  expect(await removing).toBeInstanceOf(ObjectsFailure)
  await bringing
  expect([...there]).toHaveLength(1)
})
