import { PassThrough, Readable } from 'node:stream'
import { describe, expect, onTestFinished, test } from 'vitest'
import { parsePasswordHash } from '../../../../src/access/passwords/password-hash.ts'
import { PasswordThread } from '../../../../src/access/passwords/password-thread.ts'
import { runPassword } from '../../../../src/cli/commands/password.ts'

async function run(input: Readable) {
  const said = { output: '', error: '' }
  const writer = (to: keyof typeof said) => ({
    write: (text: string) => {
      said[to] += text
    },
  })
  const code = await runPassword({ input, output: writer('output'), error: writer('error') })
  return { code, ...said }
}

/** Somebody at a terminal. */
function typing(keys: string) {
  const input = Object.assign(new PassThrough(), { isTTY: true })
  input.write(keys)
  return run(input)
}

async function isRight(password: string, printed: string): Promise<boolean> {
  const thread = new PasswordThread()
  onTestFinished(() => thread.close())
  return thread.isRight({ password, hash: parsePasswordHash(printed.trimEnd()) })
}

describe('layover password', () => {
  test.each([
    'correct horse',
    'correct horse\n',
    'correct horse\r\n',
  ])('prints the hash of what is piped in: %j', async given => {
    const { code, output, error } = await run(Readable.from([Buffer.from(given)]))
    expect([code, error]).toEqual([0, ''])
    expect(output).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$[\w+/]{22}\$[\w+/]{43}\n$/)
    expect(await isRight('correct horse', output)).toBe(true)
    expect(await isRight('correct horse\n', output)).toBe(false)
  })

  test('asks twice at a terminal, and shows nothing of it', async () => {
    const { code, output, error } = await typing('sesann\x7f\x7fme\rsesame\r')
    expect(code).toBe(0)
    expect(error).toBe('Password: \nAgain: \n')
    expect(await isRight('sesame', output)).toBe(true)
  })

  test.each([
    ['two that differ', 'sesame\rsesam\r', 'the two are not the same'],
    ['nothing', '\r\r', 'no password was given'],
    ['Ctrl-C', 'sesa\x03', 'no password was given'],
    ['Ctrl-C the second time', 'sesame\r\x03', 'the two are not the same'],
  ])('prints no hash of %s', async (_, keys, message) => {
    const { code, output, error } = await typing(keys)
    expect([code, output]).toEqual([1, ''])
    expect(error).toContain(message)
    expect(error).not.toContain('sesa')
  })

  test.each([
    ['nothing', '', 'no password was given'],
    ['several lines', 'sesame\nopen\n', 'one line'],
    ['a whole file', 'x'.repeat(2000), 'at most 1024 characters'],
  ])('takes no password of %s', async (_, given, message) => {
    const { code, output, error } = await run(Readable.from([Buffer.from(given)]))
    expect([code, output]).toEqual([1, ''])
    expect(error).toContain(message)
  })
})
