/** Password hashes as they are configured: argon2id in the PHC string format, and bcrypt. */

/** Plain data: it goes to a thread. */
export type PasswordHash =
  | {
      readonly kind: 'argon2id'
      readonly memoryKib: number
      readonly passes: number
      readonly lanes: number
      readonly salt: Uint8Array
      readonly digest: Uint8Array
    }
  | {
      readonly kind: 'bcrypt'
      /** `$2b$` and so on, with two digits of cost and 53 characters of salt and digest. */
      readonly text: string
    }

/** The message says what is wrong, and never quotes. It completes "…: expected …". */
export class HashInvalid extends Error {
  override readonly name = 'HashInvalid'
}

/** What is dearer would let a few logins occupy the thread, or the memory, of the whole. */
const most = { memoryKib: 2 ** 20, passes: 16, lanes: 16, workKib: 2 ** 22 }
const bcryptCost = { least: 4, most: 16 }
const bytes = { leastSalt: 8, leastDigest: 16, most: 64 }

const argon2id =
  /^\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{1,128})\$([A-Za-z0-9+/]{1,128})$/
const bcrypt = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/

/** Of the text of a bcrypt hash: what comes before the digest. */
const bcryptSaltEnd = 29

/** @throws HashInvalid */
export function parsePasswordHash(text: string): PasswordHash {
  if (text.startsWith('$2')) return parseBcrypt(text)
  if (text.startsWith('$argon2id$')) return parseArgon2id(text)
  throw new HashInvalid('a hash of argon2id or bcrypt, and never the password: `layover password` makes one')
}

function parseArgon2id(text: string): PasswordHash {
  const [, m = '', t = '', p = '', saltText = '', digestText = ''] = argon2id.exec(text) ?? []
  const [memoryKib, passes, lanes] = [Number(m), Number(t), Number(p)]
  const [salt, digest] = [Buffer.from(saltText, 'base64'), Buffer.from(digestText, 'base64')]
  if (m === '' || salt.length < bytes.leastSalt || digest.length < bytes.leastDigest)
    throw new HashInvalid('$argon2id$v=19$m=…,t=…,p=…$salt$digest, whole: `layover password` makes one')
  if (Math.max(salt.length, digest.length) > bytes.most)
    throw new HashInvalid(`a salt and a digest of at most ${bytes.most} bytes`)
  if (lanes < 1 || lanes > most.lanes || passes < 1 || passes > most.passes)
    throw new HashInvalid(`t from 1 to ${most.passes} and p from 1 to ${most.lanes}`)
  if (memoryKib < 8 * lanes || memoryKib > most.memoryKib || memoryKib * passes > most.workKib)
    throw new HashInvalid(
      `m from 8 for each lane to ${most.memoryKib} (KiB, 1 GiB), and m times t at most ${most.workKib}`,
    )
  return { kind: 'argon2id', memoryKib, passes, lanes, salt, digest }
}

function parseBcrypt(text: string): PasswordHash {
  const cost = Number(bcrypt.exec(text)?.[1])
  if (Number.isNaN(cost))
    throw new HashInvalid('$2b$, $2y$ or $2a$, a cost, and 53 characters: `htpasswd -B` makes one')
  if (cost < bcryptCost.least || cost > bcryptCost.most)
    throw new HashInvalid(`bcrypt with a cost from ${bcryptCost.least} to ${bcryptCost.most}`)
  return { kind: 'bcrypt', text }
}

/** A hash that costs what this one costs, and that no password has. */
export function decoyOf(hash: PasswordHash): PasswordHash {
  if (hash.kind === 'argon2id') return { ...hash, digest: new Uint8Array(hash.digest.length) }
  return { kind: 'bcrypt', text: hash.text.slice(0, bcryptSaltEnd).padEnd(hash.text.length, '.') }
}
