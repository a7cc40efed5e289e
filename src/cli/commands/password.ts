/** `layover password`: asks for a password and prints the hash of it that the configuration takes. */
import { argon2Sync, randomBytes } from 'node:crypto'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'

export interface Terminal {
  readonly input: Readable & { readonly isTTY?: boolean }
  readonly output: { write(text: string): unknown }
  readonly error: { write(text: string): unknown }
}

/** Some 30 ms and 19 MiB: what OWASP recommends for one lane. */
const cost = { memory: 19_456, passes: 2, parallelism: 1 }
const saltBytes = 16
const digestBytes = 32
/** More than anybody means. */
const mostCharacters = 1024

/** Resolves with the exit code. */
export async function runPassword({ input, output, error }: Terminal = ownTerminal()): Promise<number> {
  const given = input.isTTY === true ? await typed(input, error) : await piped(input)
  const mistake = mistakeIn(given)
  if (mistake === undefined) {
    output.write(`${hashOf(given[0] ?? '')}\n`)
    return 0
  }
  error.write(`layover: ${mistake}\n`)
  return 1
}

function ownTerminal(): Terminal {
  return { input: process.stdin, output: process.stdout, error: process.stderr }
}

/** Twice, since nobody sees what they type. */
async function typed(input: Readable, prompts: Terminal['error']): Promise<string[]> {
  const lines = createInterface({ input, terminal: true }) // without an output nothing is echoed
  lines.on('SIGINT', () => lines.close())
  const given: string[] = []
  prompts.write('Password: ')
  for await (const line of lines) {
    given.push(line)
    prompts.write(given.length === 1 ? '\nAgain: ' : '\n')
    if (given.length === 2) break
  }
  lines.close()
  if (given.length < 2) prompts.write('\n')
  return given.length === 0 ? [''] : [given[0] ?? '', given[1] ?? '']
}

/** `echo` ends it with a line break, which is no part of it. */
async function piped(input: Readable): Promise<string[]> {
  let text = ''
  for await (const chunk of input.setEncoding('utf8') as AsyncIterable<string>) {
    text += chunk
    if (text.length > mostCharacters + 2) break
  }
  return [text.replace(/\r?\n$/, '')]
}

function mistakeIn([password = '', again = password]: readonly string[]): string | undefined {
  if (password === '') return 'no password was given'
  if (password !== again) return 'the two are not the same'
  if (password.length > mostCharacters) return `a password has at most ${mostCharacters} characters`
  if (/\p{Cc}/u.test(password)) return 'a password is one line, without control characters'
  return undefined
}

function hashOf(password: string): string {
  const nonce = randomBytes(saltBytes)
  const digest = argon2Sync('argon2id', { message: password, nonce, tagLength: digestBytes, ...cost })
  const { memory, passes, parallelism } = cost
  const [salt, end] = [nonce, digest].map(bytes => bytes.toString('base64').replaceAll('=', ''))
  return `$argon2id$v=19$m=${memory},t=${passes},p=${parallelism}$${salt}$${end}`
}
