import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { digestOf } from '../../../../src/oci/digest.ts'
import { NoRoom } from '../../../../src/store/partial.ts'
import type { Store } from '../../../../src/store/store.ts'
import { runs } from '../../../support/runs.ts'
import { bytesBelow, contentOf, hourMs, onDisk, rig } from './rig.ts'

interface Step {
  readonly kind: string
  readonly name: number
  readonly size: number
}

async function act(store: Store, { kind, name, size }: Step): Promise<unknown> {
  const content = contentOf(`${name}`, 1 + ((name * 997 + size) % 9_000))
  const digest = digestOf(content)
  if (kind === 'put') return store.put(digest, content, 'docker.io')
  if (kind === 'drop') return store.drop(digest)
  if (kind === 'use') return store.use([digest])
  if (kind === 'tidy') return store.capacity?.tidy()
  const partial = await ifRoom(store.begin(digest, { owner: 'ghcr.io', expectedSize: content.length }))
  if (!partial) return
  const rest = content.subarray(partial.written)
  await partial.append([kind === 'blob' ? rest : rest.subarray(0, size)])
  if (kind === 'blob') return partial.commit()
  return kind === 'keep' ? partial.keep() : partial.discard()
}

const ifRoom = <T>(begun: Promise<T>) =>
  begun.catch((error: unknown) => {
    expect(error).toBeInstanceOf(NoRoom)
  })

test('whatever comes, goes, breaks off and is read at once: the cap is kept at each step and the sum is right', async () => {
  const maxBytes = 20_000
  const step = fc.record({
    kind: fc.constantFrom('put', 'blob', 'keep', 'discard', 'drop', 'use', 'tidy'),
    name: fc.integer({ min: 0, max: 12 }),
    size: fc.integer({ min: 1, max: 9_000 }),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(step, { maxLength: 8 }), { maxLength: 12 }), async rounds => {
      await using at = await rig({ maxBytes })
      for (const round of rounds) {
        const acting = Promise.all(round.map(step => act(at.store, step)))
        const ended = acting.then(() => true)
        do expect(onDisk(at)).toBeLessThanOrEqual(maxBytes)
        while (!(await Promise.race([ended, setImmediate(false)])))
        at.clock.advance(hourMs)
        expect(at.store.capacity?.cachedBytes).toBe(bytesBelow(join(at.path, 'cached')))
      }
    }),
    runs(25),
  )
}, 120_000)
