/** Users with cheap hashes, and passwords whose computations are counted. */
import { argon2Sync, randomBytes } from 'node:crypto'
import bcrypt from 'bcryptjs'
import { onTestFinished } from 'vitest'
import { LoginFailures } from '../../../../src/access/failures.ts'
import type { LoginLimits, UserOptions } from '../../../../src/access/options.ts'
import { PasswordThread } from '../../../../src/access/passwords/password-thread.ts'
import { Passwords } from '../../../../src/access/passwords/passwords.ts'
import { FakeClock } from '../../../fake/clock.ts'

/** argon2id of the password `<name>-password`. */
export function user(name: string, password = `${name}-password`): UserOptions {
  const nonce = randomBytes(16)
  const [memory, passes, parallelism] = [64, 1, 1]
  const digest = argon2Sync('argon2id', {
    message: password,
    nonce,
    memory,
    passes,
    parallelism,
    tagLength: 32,
  })
  const [salt, end] = [nonce, digest].map(bytes => bytes.toString('base64').replaceAll('=', ''))
  return { name, hash: `$argon2id$v=19$m=${memory},t=${passes},p=${parallelism}$${salt}$${end}` }
}

export function bcryptUser(name: string, password = `${name}-password`): UserOptions {
  return { name, hash: bcrypt.hashSync(password, 4) }
}

export const limits: LoginLimits = { perAddress: 20, perUser: 100, windowMs: 300_000 }

/** With the real thread. */
export function stand(users: readonly UserOptions[], { of = limits }: { of?: LoginLimits } = {}) {
  const clock = new FakeClock()
  const failures = new LoginFailures(of, { clock })
  const thread = new PasswordThread({ clock })
  const computed: string[] = []
  const passwords = new Passwords(users, {
    clock,
    failures,
    thread: {
      isRight: question => {
        computed.push(question.password)
        return thread.isRight(question)
      },
      close: () => thread.close(),
    },
  })
  onTestFinished(() => {
    passwords.close()
    failures.close()
  })
  return { clock, failures, passwords, computed }
}
