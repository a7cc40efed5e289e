/** Work that nobody waits for, until the stop does. */
import { expect, test } from 'vitest'
import { Background } from '../../../src/stream/background.ts'

test('the stop waits for what runs and for what that starts', async () => {
  const background = new Background(() => {})
  const gate = Promise.withResolvers<void>()
  const done: string[] = []
  background.run(async () => {
    await gate.promise
    done.push('first')
    background.run(async () => {
      await Promise.resolve()
      done.push('second')
    })
  })
  const settled = background.settled()
  gate.resolve()
  await settled
  expect(done).toEqual(['first', 'second'])
})

test('a failure is told and stops nobody else', async () => {
  const failures: unknown[] = []
  const background = new Background(error => failures.push(error))
  const failure = new Error('broken')
  let ran = false
  background.run(() => Promise.reject(failure))
  background.run(async () => {
    ran = true
  })
  await background.settled()
  expect(failures).toEqual([failure])
  expect(ran).toBe(true)
})
