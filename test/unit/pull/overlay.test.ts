/** Lists of two origins as one: in pages, complete, each entry once. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { mergePages, pageOf } from '../../../src/pull/overlay.ts'

const nameOf = (name: string) => name
const names = fc.uniqueArray(fc.stringMatching(/^[A-Za-z0-9_.-]{1,3}$/), { maxLength: 30 })

test('pages of two lists, one after the other, are their union in byte order', () => {
  fc.assert(
    fc.property(names, names, fc.integer({ min: 1, max: 9 }), (here, there, limit) => {
      const found: string[] = []
      for (let last: string | undefined; ; ) {
        const pages = [here, there].map(list => pageOf(list, nameOf, { last, limit }))
        const page = mergePages(pages, nameOf, limit)
        found.push(...page)
        last = page.at(-1)
        if (page.length < limit) break
      }
      expect(found).toEqual([...new Set([...here, ...there])].sort())
    }),
  )
})

test('of two entries with one name the first page has it', () => {
  const entry = (name: string, from: string) => ({ name, from })
  const pages = [[entry('b', 'here')], [entry('a', 'there'), entry('b', 'there')]]
  expect(mergePages(pages, ({ name }) => name, 9)).toEqual([entry('a', 'there'), entry('b', 'here')])
})
