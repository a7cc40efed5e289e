/** The forms in which the configuration writes patterns and secrets. Each parser throws FormInvalid. */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { isAbsolute } from 'node:path'
import type { Pin } from '../collect/pins.ts'
import { FormInvalid, parseHost } from './address-forms.ts'
import { refusalOf } from './identity.ts'

const repositoryPattern = /^[a-z0-9._*-]+(?:\/[a-z0-9._*-]+)*$/
const tagPattern = /^[A-Za-z0-9._*-]+$/

/** Of repository names: `*` stays within a component, `**` crosses. */
export function parseRepositoryPattern(text: string): string {
  if (!repositoryPattern.test(text) || text.includes('***')) {
    throw new FormInvalid('a pattern of repository names such as library/* or acme/**, in lower case')
  }
  return text
}

/** As for repositories, but the first component may be a registry with its port. */
export function parseLocalPattern(text: string): string {
  const [first = '', ...rest] = text.split('/')
  if (rest.length > 0 && isHost(first)) parseRepositoryPattern(rest.join('/'))
  else parseRepositoryPattern(text)
  return text
}

export function parseTagPattern(text: string): string {
  if (!tagPattern.test(text) || text.includes('**'))
    throw new FormInvalid('a pattern of tags such as latest, v* or *')
  return text
}

/** Repositories, and behind a colon some of their tags. */
export function parsePinPattern(text: string): Pin {
  const [repositories = '', tags, ...more] = text.split(':')
  if (more.length > 0) throw new FormInvalid('a pattern such as library/* or library/debian:bookworm*')
  return {
    match: parseRepositoryPattern(repositories),
    tags: tags === undefined ? undefined : parseTagPattern(tags),
  }
}

/** One component of a repository name. */
export function parseNamespaceName(text: string): string {
  if (!/^[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?::\d+)?$/.test(text))
    throw new FormInvalid('a name of lower-case letters, digits and . _ -')
  return text
}

export function parseUsername(text: string): string {
  // RFC 7617 §2: the first colon ends the user.
  if (text === '' || text.includes(':')) throw new FormInvalid('a user name, without a colon')
  return text
}

export function parsePassword(text: string): string {
  if (text === '') throw new FormInvalid('a password, not nothing')
  return text
}

export function parseToken(text: string): string {
  if (!/^[\x21-\x7e]+$/.test(text)) throw new FormInvalid('a token: printable characters without spaces')
  return text
}

/** Shorter ones can be guessed from one signature. */
export function parseReplicaSecret(text: string): string {
  if (text.length < 16)
    throw new FormInvalid('a secret of at least 16 characters, such as `openssl rand -hex 32` gives')
  return text
}

export function parseAbsolutePath(text: string): string {
  if (!isAbsolute(text))
    throw new FormInvalid('an absolute path, such as /usr/local/bin/ecr-credential-provider')
  return text
}

/** It becomes a part of a host's name. */
export function parseRegion(text: string): string {
  if (!/^[a-z]{2,}(?:-[a-z]+)+-\d+$/.test(text)) throw new FormInvalid('a region such as eu-central-1')
  return text
}

export function parseRoleArn(text: string): string {
  if (!/^arn:[a-z-]+:iam::\d{12}:role\/[\w+=,.@/-]+$/.test(text))
    throw new FormInvalid('the ARN of a role, such as arn:aws:iam::123456789012:role/pull')
  return text
}

/** The content of a credentials file. */
export function parseUserAndPassword(text: string): { username: string; password: string } {
  const [, username = '', password = ''] = /^([^:]+):(.+)$/.exec(text) ?? []
  if (username === '')
    throw new FormInvalid('a file with one line, user:password; for a token write `token: file:…`')
  return { username, password }
}

const pemBlock = /-----BEGIN ([A-Z0-9 ]+)-----[^-]*-----END \1-----/g

export function parseCertificates(text: string): string {
  const blocks = text.match(pemBlock) ?? []
  if (blocks.length === 0 || !blocks.every(isCertificate))
    throw new FormInvalid('certificates as PEM text, or file: and the path of a PEM file')
  return text
}

/** Lists of what authorities took back (RFC 5280 §5). */
export function parseRevocations(text: string): string {
  const blocks = [...text.matchAll(pemBlock)]
  const areLists = blocks.length > 0 && blocks.every(([, label]) => label === 'X509 CRL')
  if (!areLists || refusalOf({ crl: text }) !== undefined)
    throw new FormInvalid('lists of revoked certificates as PEM text, or file: and the path of a PEM file')
  return text
}

export function parsePrivateKey(text: string): string {
  try {
    createPrivateKey(text)
    return text
  } catch {
    // No cause: it might quote the key.
    throw new FormInvalid('an unencrypted private key as PEM text, or file: and the path of a PEM file')
  }
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).subject !== ''
  } catch {
    return false // not a certificate, which the caller says
  }
}

function isHost(text: string): boolean {
  try {
    return parseHost(text) === text
  } catch {
    return false // a pattern's first component then
  }
}
