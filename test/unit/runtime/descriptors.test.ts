/** Who keeps descriptors gives them back when there are none left. */
import { expect, test } from 'vitest'
import { keepsDescriptors, withDescriptor } from '../../../src/runtime/descriptors.ts'

const failure = (code: string) => Object.assign(new Error(code), { code })

function opening(...codes: string[]) {
  const seen: string[] = []
  const task = async () => {
    seen.push('asked')
    const code = codes.shift()
    if (code !== undefined) throw failure(code)
    return 'opened'
  }
  const keeper = keepsDescriptors(async () => void seen.push('given back'))
  return { task, seen, [Symbol.dispose]: () => keeper[Symbol.dispose]() }
}

test.each([
  'EMFILE',
  'ENFILE',
])('on %s what is kept is given back, and the task tried once more', async code => {
  using at = opening(code)
  expect(await withDescriptor(at.task)).toBe('opened')
  expect(at.seen).toEqual(['asked', 'given back', 'asked'])
})

test('a second failure is told', async () => {
  using at = opening('EMFILE', 'EMFILE')
  await expect(withDescriptor(at.task)).rejects.toMatchObject({ code: 'EMFILE' })
})

test('other failures are told at once', async () => {
  using at = opening('EIO')
  await expect(withDescriptor(at.task)).rejects.toMatchObject({ code: 'EIO' })
  expect(at.seen).toEqual(['asked'])
})

test('who keeps nothing any more is not asked', async () => {
  const at = opening('EMFILE')
  at[Symbol.dispose]()
  expect(await withDescriptor(at.task)).toBe('opened')
  expect(at.seen).toEqual(['asked', 'asked'])
})
