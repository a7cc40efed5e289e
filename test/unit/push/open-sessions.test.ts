import { expect, test } from 'vitest'
import { OpenSessions } from '../../../src/push/open-sessions.ts'

/** A listing that has looked already, and tells it when `go` resolves. */
async function* listed(ids: string[], go: Promise<void>) {
  await go
  for (const id of ids) yield { id }
}

test('a session that is being created is counted once, whether a count under way saw it or not', async () => {
  for (const seen of [true, false]) {
    const open = new OpenSessions()
    await open.begin('a', async () => {})
    const created = Promise.withResolvers<void>()
    const beginning = open.begin('b', () => created.promise)
    const told = Promise.withResolvers<void>()
    const counting = open.recount(() => listed(seen ? ['a', 'b'] : ['a'], told.promise))
    expect(open.count).toBe(2)
    created.resolve()
    await beginning
    told.resolve()
    await counting
    expect(open.count).toBe(2)
  }
})

test('a session that could not be created is counted no more, though a count saw it', async () => {
  const open = new OpenSessions()
  const created = Promise.withResolvers<void>()
  const beginning = open.begin('a', () => created.promise)
  await open.recount(() => listed(['a'], Promise.resolve()))
  expect(open.count).toBe(1)
  created.reject(new Error('no space'))
  await expect(beginning).rejects.toThrow('no space')
  expect(open.count).toBe(0)
})

test('what a count finds no more is forgotten, what ended meanwhile stays so', async () => {
  const open = new OpenSessions()
  for (const id of ['kept', 'reaped', 'ending']) await open.begin(id, async () => {})
  const told = Promise.withResolvers<void>()
  const counting = open.recount(() => listed(['kept', 'ending', 'older'], told.promise))
  open.end('ending')
  told.resolve()
  await counting
  expect(open.count).toBe(2)
})
