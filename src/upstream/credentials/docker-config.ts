/** Credentials from a Docker `config.json` or podman `auth.json`, read again when the file changes. */
import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import type { Clock } from '../../runtime/clock.ts'
import { type Credential, type CredentialProvider, CredentialUnavailable } from './credential.ts'
import { CredentialHelpers } from './helper.ts'

export class DockerConfigUnreadable extends CredentialUnavailable {
  override readonly name = 'DockerConfigUnreadable'
}

interface DockerConfig {
  auths: Readonly<Record<string, unknown>>
  credHelpers: Readonly<Record<string, unknown>>
  credsStore: unknown
}

const hubKey = 'https://index.docker.io/v1/'
const hubHosts = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io', 'registry.hub.docker.com'])

export class DockerConfigCredentials implements CredentialProvider {
  readonly #path: string
  readonly #host: string
  readonly #helpers: CredentialHelpers
  #read: { stamp: string; version: string; config: DockerConfig } | undefined

  /** @param host of the registry's URL, with its port if it has one */
  constructor(path: string, host: string, clock: Clock) {
    this.#path = path
    this.#host = host
    this.#helpers = new CredentialHelpers(clock)
  }

  get version(): string {
    return this.#read?.version ?? 'unread'
  }

  /** @throws DockerConfigUnreadable, CredentialHelperFailed */
  async get(repository: string): Promise<Credential | undefined> {
    const { auths, credHelpers, credsStore } = await this.#config()
    const server = hubHosts.has(this.#host) ? hubKey : this.#host
    const hosts = hostKeys(this.#host)
    const helper = hosts.map(key => credHelpers[key]).find(name => typeof name === 'string')
    if (helper !== undefined) return this.#helpers.get(helper, server)
    for (const key of authKeys(hosts, repository)) {
      const credential = readAuth(auths[key])
      if (credential) return credential
    }
    return typeof credsStore === 'string' && credsStore !== ''
      ? this.#helpers.get(credsStore, server)
      : undefined
  }

  /** A Kubernetes secret is replaced by renaming, so the inode tells as much as the time. */
  async #config(): Promise<DockerConfig> {
    try {
      const { mtimeMs, size, ino } = await stat(this.#path)
      const stamp = `${mtimeMs} ${size} ${ino}`
      if (this.#read?.stamp === stamp) return this.#read.config
      const text = await readFile(this.#path, 'utf8')
      const config = parseConfig(text)
      this.#helpers.forget()
      this.#read = { stamp, version: createHash('sha256').update(text).digest('hex').slice(0, 32), config }
      return config
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : 'it is no JSON object'
      // No cause: a parser's message quotes what it read.
      throw new DockerConfigUnreadable(`${this.#path} cannot be read: ${code}`)
    }
  }
}

function parseConfig(text: string): DockerConfig {
  const json: unknown = JSON.parse(text)
  if (!isObject(json)) throw new TypeError('not an object')
  return { auths: objectOf(json.auths), credHelpers: objectOf(json.credHelpers), credsStore: json.credsStore }
}

/** The names a registry goes by in these files. */
function hostKeys(host: string): string[] {
  return hubHosts.has(host) ? ['docker.io', hubKey, 'index.docker.io', 'registry-1.docker.io'] : [host]
}

/** podman's keys name a repository or a prefix of one, the longest first; Docker's may be old URLs. */
function authKeys(hosts: readonly string[], repository: string): string[] {
  const parts = repository.split('/')
  const prefixes = parts.map((_, at) => parts.slice(0, parts.length - at).join('/'))
  return [
    ...prefixes.flatMap(prefix => hosts.map(host => `${host}/${prefix}`)),
    ...hosts.flatMap(host => [host, `https://${host}`, `https://${host}/`, `https://${host}/v1/`]),
    ...hosts.flatMap(host => [`https://${host}/v2/`, `http://${host}`, `http://${host}/v1/`]),
  ]
}

function readAuth(entry: unknown): Credential | undefined {
  if (!isObject(entry)) return undefined
  const { identitytoken, registrytoken, username, password, auth } = entry
  if (isFilled(identitytoken)) return { kind: 'identity', token: identitytoken }
  if (isSendable(registrytoken)) return { kind: 'bearer', token: registrytoken }
  if (isFilled(username) && isFilled(password)) return { kind: 'basic', username, password }
  return isFilled(auth) ? decodeAuth(auth) : undefined
}

/** `user:password`; the password may hold further colons, and old files end with NULs. */
function decodeAuth(auth: string): Credential | undefined {
  const text = Buffer.from(auth, 'base64').toString('utf8').replace(/\0+$/, '')
  const colon = text.indexOf(':')
  if (colon < 1) return undefined
  return { kind: 'basic', username: text.slice(0, colon), password: text.slice(colon + 1) }
}

/** It goes into a header as it is. */
function isSendable(value: unknown): value is string {
  return typeof value === 'string' && /^[\x21-\x7e]+$/.test(value)
}

function isFilled(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

function objectOf(value: unknown): Record<string, unknown> {
  return isObject(value) ? value : {}
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
