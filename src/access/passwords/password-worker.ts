/** The thread behind PasswordThread: computes one password hash after the other. */
import { argon2Sync, timingSafeEqual } from 'node:crypto'
import { setPriority } from 'node:os'
import { parentPort } from 'node:worker_threads'
import bcrypt from 'bcryptjs'
import type { PasswordHash } from './password-hash.ts'
import type { PasswordAnswer, PasswordQuestion } from './password-thread.ts'

/** Where cores are scarce a storm of logins is to wait for what is served, and not the other way round. */
const niceness = 10
if (process.platform === 'linux') setPriority(0, niceness) // of this thread alone; elsewhere of the whole process

parentPort?.on('message', (question: PasswordQuestion) => parentPort?.postMessage(answer(question)))

function answer({ password, hash }: PasswordQuestion): PasswordAnswer {
  try {
    return { isRight: isRight(password, hash) }
  } catch (error) {
    return { error: error instanceof Error ? error : new Error(String(error)) }
  }
}

/** Everything is computed even of a password that cannot be right: it costs what others cost. */
function isRight(password: string, hash: PasswordHash): boolean {
  if (hash.kind === 'bcrypt') {
    const isSame = bcrypt.compareSync(password, hash.text)
    return isSame && !bcrypt.truncates(password) // else what it begins with would do
  }
  const { memoryKib, passes, lanes, salt, digest } = hash
  const computed = argon2Sync('argon2id', {
    message: password,
    nonce: salt,
    parallelism: lanes,
    tagLength: digest.length,
    memory: memoryKib,
    passes,
  })
  return timingSafeEqual(computed, digest)
}
