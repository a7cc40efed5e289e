/** Where Redis is, as the configuration writes it: one server, a master that Sentinels name, or a Cluster. */

export interface RedisHost {
  readonly host: string
  readonly port: number
}

export type RedisAddress = {
  readonly isTls: boolean
  /** As it stands in the URL, decoded. */
  readonly username: string | undefined
  readonly password: string | undefined
} & (
  | { readonly kind: 'single'; readonly server: RedisHost; readonly database: number }
  | {
      readonly kind: 'sentinel'
      readonly sentinels: readonly RedisHost[]
      readonly master: string
      readonly database: number
    }
  | { readonly kind: 'cluster'; readonly nodes: readonly RedisHost[] }
)

/** Its message completes "expected …". */
export class RedisAddressInvalid extends Error {
  override readonly name = 'RedisAddressInvalid'
}

const form = /^(redis|rediss)(\+sentinel|\+cluster)?:\/\/(?:([^@/]*)@)?([^/?#]+)(\/[^?#]*)?$/
const hostForm = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+))(?::(\d{1,5}))?$/
const ports = { '': 6379, '+cluster': 6379, '+sentinel': 26_379 } as const
/** The last of the databases that a server can be configured to have. */
const maxDatabase = 2 ** 31 - 1

/** @throws RedisAddressInvalid */
export function parseRedisAddress(text: string): RedisAddress {
  const match = form.exec(text)
  if (!match)
    throw new RedisAddressInvalid(
      'redis://host:6379, redis+sentinel://host:26379,host:26379/master or redis+cluster://host:6379,host:6379; with TLS rediss:// in front',
    )
  const [, scheme, suffix = '', user, list = '', path = ''] = match
  const hosts = list.split(',').map(each => parseServer(each, ports[suffix as keyof typeof ports]))
  const [first] = hosts
  const parts = path.split('/').slice(1)
  const common = { isTls: scheme === 'rediss', ...parseUser(user) }
  if (suffix === '+sentinel') return { ...common, kind: 'sentinel', sentinels: hosts, ...parseMaster(parts) }
  if (suffix === '+cluster') {
    if (parts.some(part => part !== '')) throw new RedisAddressInvalid('no database: a Cluster has only one')
    return { ...common, kind: 'cluster', nodes: hosts }
  }
  if (!first || hosts.length > 1)
    throw new RedisAddressInvalid('one host; several are written redis+sentinel:// or redis+cluster://')
  if (parts.length > 1) throw new RedisAddressInvalid('nothing behind the number of the database')
  return { ...common, kind: 'single', server: first, database: parseDatabase(parts[0]) }
}

/** Without its user and password. */
export function formatRedisAddress(address: RedisAddress): string {
  const scheme = address.isTls ? 'rediss' : 'redis'
  if (address.kind === 'cluster') return `${scheme}+cluster://${formatHosts(address.nodes)}`
  const database = address.database === 0 ? '' : `/${address.database}`
  return address.kind === 'single'
    ? `${scheme}://${formatHosts([address.server])}${database}`
    : `${scheme}+sentinel://${formatHosts(address.sentinels)}/${address.master}${database}`
}

function parseServer(text: string, defaultPort: number): RedisHost {
  const [, v6, host = v6 ?? '', port] = hostForm.exec(text) ?? []
  const number = port === undefined ? defaultPort : Number(port)
  if (host === '' || number < 1 || number > 65_535)
    throw new RedisAddressInvalid(`a host and a port such as redis.corp.example:6379, found ${text}`)
  return { host, port: number }
}

function parseUser(user: string | undefined): { username: string | undefined; password: string | undefined } {
  const colon = user?.indexOf(':') ?? -1
  if (user === undefined || user === '') return { username: undefined, password: undefined }
  try {
    const [username, password] =
      colon < 0 ? [user, undefined] : [user.slice(0, colon), user.slice(colon + 1)].map(decodeURIComponent)
    return { username: username === '' ? undefined : username, password }
  } catch {
    throw new RedisAddressInvalid('a user and a password in which %, @, : and / are written as %25, %40, …')
  }
}

function parseMaster([master = '', database, ...rest]: readonly string[]): {
  master: string
  database: number
} {
  if (master === '' || rest.length > 0)
    throw new RedisAddressInvalid(
      "the master's name behind the Sentinels: redis+sentinel://host:26379/mymaster",
    )
  return { master, database: parseDatabase(database) }
}

function parseDatabase(text = ''): number {
  const database = text === '' ? 0 : Number(text)
  if (!/^\d*$/.test(text) || database > maxDatabase)
    throw new RedisAddressInvalid('the number of a database behind the host')
  return database
}

function formatHosts(hosts: readonly RedisHost[]): string {
  return hosts.map(({ host, port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`).join(',')
}
