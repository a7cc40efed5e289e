/** The text of an htpasswd file, as `htpasswd -B` writes it. */
import type { UserOptions } from '../options.ts'
import { HashInvalid, parsePasswordHash } from './password-hash.ts'

/** The message names the line and never quotes it. It completes "…: expected …". */
export class HtpasswdInvalid extends Error {
  override readonly name = 'HtpasswdInvalid'
}

/** More users than any file has. */
const mostUsers = 100_000

/** @throws HtpasswdInvalid */
export function parseHtpasswd(text: string): UserOptions[] {
  const users = new Map<string, UserOptions>()
  for (const [at, line] of text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .entries()) {
    const entry = line.trim()
    if (entry === '' || entry.startsWith('#')) continue
    const user = userIn(entry, at + 1)
    if (users.has(user.name)) throw new HtpasswdInvalid(`each user once: line ${at + 1} has one of before`)
    if (users.size === mostUsers) throw new HtpasswdInvalid(`at most ${mostUsers} users`)
    users.set(user.name, user)
  }
  return [...users.values()]
}

function userIn(entry: string, line: number): UserOptions {
  const colon = entry.indexOf(':')
  if (colon < 0) throw new HtpasswdInvalid(`user:hash in line ${line}, as \`htpasswd -B\` writes it`)
  const name = entry.slice(0, colon)
  const hash = entry.slice(colon + 1)
  if (!isUserName(name)) throw new HtpasswdInvalid(`${userNameForm} in line ${line}`)
  try {
    parsePasswordHash(hash)
  } catch (error) {
    if (!(error instanceof HashInvalid)) throw error
    throw new HtpasswdInvalid(
      isOldKind(hash)
        ? `bcrypt or argon2id in line ${line}, since other kinds are guessed too quickly: \`htpasswd -B\` writes bcrypt`
        : `in line ${line} ${error.message}`,
    )
  }
  return { name, hash }
}

export const userNameForm =
  'a user name of 1 to 255 characters, without `:`, control characters and spaces around it'

/** As it can stand in front of the colon of Basic authentication (RFC 7617 §2). */
export function isUserName(text: string): boolean {
  return text.length <= 255 && text === text.trim() && /^[^:\p{Cc}]+$/u.test(text)
}

/** MD5, SHA, crypt or plain text. */
function isOldKind(hash: string): boolean {
  return !hash.startsWith('$2') && !hash.startsWith('$argon2id$')
}
