import { getPriority } from 'node:os'
import { describe, expect, test } from 'vitest'
import { LoginUnavailable } from '../../../../src/access/caller.ts'
import { LoginFailures } from '../../../../src/access/failures.ts'
import { PasswordThread } from '../../../../src/access/passwords/password-thread.ts'
import { Passwords } from '../../../../src/access/passwords/passwords.ts'
import { RegistryError } from '../../../../src/oci/errors.ts'
import { FakeClock } from '../../../fake/clock.ts'
import { bcryptUser, limits, stand, user } from './samples.ts'

const alice = user('alice')
const bob = bcryptUser('bob')

/** What came of each: true, false or the status of the refusal. */
async function outcomes(checks: readonly Promise<boolean>[]) {
  const settled = await Promise.allSettled(checks)
  return settled.map(each => {
    if (each.status === 'fulfilled') return each.value
    return each.reason instanceof RegistryError ? each.reason.status : String(each.reason)
  })
}

describe('passwords', () => {
  test('of argon2id and of bcrypt are right or wrong', async () => {
    const { passwords } = stand([alice, bob])
    expect(await passwords.check('alice', 'alice-password')).toBe(true)
    expect(await passwords.check('bob', 'bob-password')).toBe(true)
    expect(await passwords.check('alice', 'bob-password')).toBe(false)
    expect(await passwords.check('bob', 'alice-password')).toBe(false)
    expect(await passwords.check('carol', 'alice-password')).toBe(false)
    expect(['alice', 'carol'].map(name => passwords.has(name))).toEqual([true, false])
  })

  test('of more bytes than bcrypt takes are wrong, though their beginning is right', async () => {
    const long = 'ä'.repeat(36)
    const { passwords, computed } = stand([bcryptUser('bob', long), user('alice', `${long}!`)])
    expect(await passwords.check('bob', long)).toBe(true)
    expect(await passwords.check('bob', `${long}!`)).toBe(false)
    expect(await passwords.check('alice', `${long}!`)).toBe(true)
    expect(await passwords.check('alice', long)).toBe(false)
    expect(computed).toHaveLength(4)
  })

  test('cost the same for unknown users as for known ones, also the second time', async () => {
    const { passwords, computed } = stand([alice, bob])
    for (const name of ['alice', 'bob', 'carol', 'dave']) {
      computed.length = 0
      expect(await passwords.check(name, 'wrong')).toBe(false)
      expect(await passwords.check(name, 'wrong')).toBe(false)
      expect(await passwords.check(name, 'also wrong')).toBe(false)
      expect(computed).toEqual(['wrong', 'also wrong'])
    }
  })

  test('of nobody are wrong at once where there are no users', async () => {
    const { passwords, computed } = stand([])
    expect(await passwords.check('alice', 'x')).toBe(false)
    expect(computed).toEqual([])
  })

  test('that were right are remembered for five minutes, wrong ones for ten seconds', async () => {
    const { passwords, clock, computed } = stand([alice])
    const both = async () => [
      await passwords.check('alice', 'alice-password'),
      await passwords.check('alice', 'wrong'),
    ]
    expect(await both()).toEqual([true, false])
    clock.advance(9_999)
    expect(await both()).toEqual([true, false])
    expect(computed).toHaveLength(2)
    clock.advance(2)
    expect(await both()).toEqual([true, false])
    expect(computed).toHaveLength(3)
    clock.advance(290_000)
    expect(await both()).toEqual([true, false])
    expect(computed).toHaveLength(5)
  })

  test('asked for at once by many nodes are computed once', async () => {
    const { passwords, computed } = stand([alice])
    const many = Array.from({ length: 500 }, (_, at) =>
      passwords.check('alice', 'alice-password', at < 250 ? '192.0.2.1' : `192.0.2.${at - 200}`),
    )
    expect(new Set(await outcomes(many))).toEqual(new Set([true]))
    expect(computed).toHaveLength(1)
  })

  test('that changed are forgotten, those of others are not', async () => {
    const { passwords, computed } = stand([alice, bob])
    const check = () =>
      Promise.all([passwords.check('alice', 'alice-password'), passwords.check('bob', 'bob-password')])
    expect(await check()).toEqual([true, true])
    expect(passwords.hashOf('alice')).toBe(alice.hash)
    passwords.update([user('alice', 'new'), bob])
    expect(passwords.hashOf('alice')).not.toBe(alice.hash)
    expect(passwords.hashOf('carol')).toBeUndefined()
    expect(await check()).toEqual([false, true])
    expect(await passwords.check('alice', 'new')).toBe(true)
    expect(computed).toHaveLength(4)
    passwords.update([bob])
    expect(await passwords.check('alice', 'new')).toBe(false)
  })

  test('are judged by the hash that is configured when the answer is given', async () => {
    const { passwords } = stand([alice])
    const asked = passwords.check('alice', 'alice-password')
    passwords.update([user('alice', 'new')])
    expect(await asked).toBe(false)
  })
})

describe('a storm of wrong logins', () => {
  const attackers = Array.from({ length: 100 }, (_, at) => `198.51.100.${at}`)

  test('causes no more computations than failures are allowed, and is refused unseen after that', async () => {
    const { passwords, computed } = stand([alice], { of: { ...limits, perAddress: 2, perUser: 0 } })
    const storm = attackers.flatMap(client =>
      Array.from({ length: 10 }, (_, nth) => passwords.check(`user${nth}`, `wrong ${client}`, client)),
    )
    expect(new Set(await outcomes(storm))).toEqual(new Set([false, 429, 503]))
    expect(computed.length).toBeLessThanOrEqual(200)
    const before = computed.length
    for (let round = 0; round < 10; round++)
      await outcomes(attackers.map(client => passwords.check('alice', `guess ${round}`, client)))
    expect(computed.length - before).toBeLessThanOrEqual(200 - before)
  })

  test('does not starve who logs in from elsewhere', async () => {
    const { passwords, computed } = stand([alice])
    await outcomes(attackers.map(client => passwords.check('alice', `first ${client}`, client)))
    const storm = outcomes(
      attackers.flatMap(client =>
        Array.from({ length: 10 }, (_, nth) => passwords.check('alice', `wrong ${nth} ${client}`, client)),
      ),
    )
    const before = computed.length
    expect(await passwords.check('alice', 'alice-password', '203.0.113.1')).toBe(true)
    expect(computed.length - before).toBeLessThanOrEqual(2)
    passwords.close()
    await storm
  })

  test('behind one address locks out nobody who has logged in there', async () => {
    const { passwords } = stand([alice, bob], { of: { ...limits, perAddress: 3 } })
    const office = '192.0.2.1'
    expect(await passwords.check('alice', 'alice-password', office)).toBe(true)
    for (let nth = 0; nth < 3; nth++) expect(await passwords.check('bob', `${nth}`, office)).toBe(false)
    expect(await outcomes([passwords.check('bob', 'bob-password', office)])).toEqual([429])
    expect(await passwords.check('alice', 'alice-password', office)).toBe(true)
    passwords.update([user('alice', 'new'), bob])
    expect(await passwords.check('alice', 'new', office)).toBe(true)
  })

  test('of more than can wait is refused as 503, from the longest line', async () => {
    const { passwords } = stand([alice], { of: { ...limits, perAddress: 1000, perUser: 0 } })
    const storm = Array.from({ length: 400 }, (_, nth) => passwords.check('alice', `${nth}`, '198.51.100.1'))
    const answers = await outcomes([...storm, passwords.check('alice', 'alice-password', '203.0.113.1')])
    expect(answers.filter(answer => answer === 503).length).toBeGreaterThan(100)
    expect(answers.at(-1)).toBe(true)
  })

  test('a refusal says when to come again', async () => {
    const { passwords } = stand([alice], { of: { ...limits, perAddress: 1 } })
    await passwords.check('alice', 'wrong', '198.51.100.1')
    await expect(passwords.check('alice', 'other', '198.51.100.1')).rejects.toMatchObject({
      code: 'TOOMANYREQUESTS',
      status: 429,
      retryAfterMs: expect.closeTo(300_000, -6) as number,
    })
  })
})

describe('the thread', () => {
  test('that dies makes logins unavailable, and is replaced', async () => {
    const clock = new FakeClock()
    const dying = new PasswordThread({ file: new URL('./dying-worker.ts', import.meta.url), clock })
    const whole = new PasswordThread({ clock })
    const threads = [dying, dying, whole]
    const failures = new LoginFailures({ ...limits, perAddress: 1 }, { clock })
    const thread = {
      isRight: (question: Parameters<PasswordThread['isRight']>[0]) =>
        (threads.shift() ?? whole).isRight(question),
      close: () => whole.close(),
    }
    const passwords = new Passwords([alice], { clock, failures, thread })
    await expect(passwords.check('alice', 'alice-password')).rejects.toThrow(LoginUnavailable)
    await expect(passwords.check('alice', 'alice-password')).rejects.toThrow(LoginUnavailable)
    expect(await passwords.check('alice', 'alice-password')).toBe(true)
    passwords.close()
  })

  test('that takes too long is given up, and so are those who waited meanwhile', async () => {
    const clock = new FakeClock()
    const silent = new PasswordThread({ file: new URL('./silent-worker.ts', import.meta.url), clock })
    const failures = new LoginFailures(limits, { clock })
    const passwords = new Passwords([alice], { clock, failures, thread: silent })
    const asked = [passwords.check('alice', 'alice-password'), passwords.check('alice', 'wrong')]
    const answers = outcomes(asked)
    await clock.untilSleeping()
    clock.advance(60_000)
    expect(await answers).toEqual([expect.stringContaining('LoginUnavailable'), 503])
  })

  test('lets what is served go first, and slows nothing else', async () => {
    const before = getPriority()
    const { passwords } = stand([alice])
    expect(await passwords.check('alice', 'alice-password')).toBe(true)
    expect(getPriority()).toBe(before)
  })

  test('closed while it computes fails who waits', async () => {
    const { passwords } = stand([alice])
    const asked = [passwords.check('alice', 'a'), passwords.check('alice', 'b')]
    passwords.close()
    for (const each of await Promise.allSettled(asked)) expect(each).toMatchObject({ status: 'rejected' })
  })
})
