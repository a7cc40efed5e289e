/** Who relies on bytes, and who takes them away. */
import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Claims } from '../../../src/store/claims.ts'
import { digest } from '../../conformance/index-samples.ts'

const [one, other] = [digest('one'), digest('other')]

test('nothing is removed while somebody claims it, however many do', async () => {
  const claims = new Claims()
  const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const claimed = gates.map(({ promise }) => claims.claim(one, () => promise))
  const remove = () => claims.unlessClaimed(one, () => Promise.resolve('removed'))
  expect(await remove()).toBeUndefined()
  expect(await claims.unlessClaimed(other, () => Promise.resolve('removed'))).toBe('removed')
  gates[0]?.resolve()
  await claimed[0]
  expect(await remove()).toBeUndefined()
  gates[1]?.resolve()
  await claimed[1]
  expect(await remove()).toBe('removed')
})

test('who claims during a removal looks when it is over, also when it failed', async () => {
  const claims = new Claims()
  const gate = Promise.withResolvers<void>()
  const removal = claims.unlessClaimed(one, () => gate.promise)
  let hasLooked = false
  const looking = claims.claim(one, async () => {
    hasLooked = true
  })
  await claims.claim(other, async () => {})
  await turn()
  expect(hasLooked).toBe(false)
  expect(await claims.unlessClaimed(one, () => Promise.resolve('twice'))).toBeUndefined()
  gate.reject(new Error('the disk'))
  await expect(removal).rejects.toThrow('the disk')
  await looking
  expect(hasLooked).toBe(true)
})

test('a claim that fails is over', async () => {
  const claims = new Claims()
  await expect(claims.claim(one, () => Promise.reject(new Error('the client left')))).rejects.toThrow('left')
  expect(await claims.unlessClaimed(one, () => Promise.resolve('removed'))).toBe('removed')
})
