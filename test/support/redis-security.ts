/** Certificates and users of the Redis servers of a test. */
import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

import type { RedisOptions } from '../../src/cluster/redis/redis.ts'

const run = promisify(execFile)

/** Of servers that speak TLS alone, by certificates of an authority of their own, and know their users. */
export interface RedisSecurity {
  readonly files: {
    readonly ca: string
    readonly cert: string
    readonly key: string
    /** Users of the servers, and of the Sentinels. */
    readonly users: string
    readonly sentinelUsers: string
  }
  /** PEM. */
  readonly ca: string
  /** Of the user `default` everywhere, who may do everything. */
  readonly adminPassword: string
  /** May do what the documentation says, below `test:`. */
  readonly user: RedisUser
  /** The same at the Sentinels. */
  readonly sentinelUser: RedisUser
}

export interface RedisUser {
  readonly username: string
  readonly password: string
}

const adminPassword = 'adm1n-of-redis'
const user = { username: 'layover', password: 's3cret-of-redis' }
const sentinelUser = { username: 'watcher', password: 's3cret-of-sentinels' }
/** As docs/how-to/redis.md has them. */
export const userMay = '+@read +@write +@scripting +@pubsub +@connection +info +time +cluster'
const sentinelUserMay = '+@connection +subscribe +sentinel|get-master-addr-by-name +sentinel|sentinels'

/** In files of the folder. */
export async function redisSecurity(folder: string): Promise<RedisSecurity> {
  const signed = await selfSigned(folder)
  const files = {
    ...signed.files,
    ca: signed.files.cert,
    users: join(folder, 'users.acl'),
    sentinelUsers: join(folder, 'sentinels.acl'),
  }
  const admin = `user default on >${adminPassword} ~* &* +@all`
  const { username, password } = user
  const watcher = `user ${sentinelUser.username} on >${sentinelUser.password} &+switch-master ${sentinelUserMay}`
  await writeFile(files.users, `${admin}\nuser ${username} on >${password} ~test:* &test:* ${userMay}\n`)
  await writeFile(files.sentinelUsers, `${admin}\n${watcher}\n`)
  return { files, ca: signed.cert, adminPassword, user, sentinelUser }
}

/** What Layover is told of them. */
export function securedOptions({ ca, user, sentinelUser }: RedisSecurity): Partial<RedisOptions> {
  const { username: sentinelUsername, password: sentinelPassword } = sentinelUser
  return { ...user, sentinelUsername, sentinelPassword, tls: { ca } }
}

/** Settings of a server: no port but the one for TLS. */
export function secureSettings(
  { files, ...security }: RedisSecurity,
  { port, isSentinel }: { port: number; isSentinel: boolean },
): Record<string, string> {
  return {
    port: '0',
    'tls-port': String(port),
    'tls-cert-file': files.cert,
    'tls-key-file': files.key,
    'tls-ca-cert-file': files.ca,
    'tls-auth-clients': 'no',
    'tls-replication': 'yes',
    aclfile: isSentinel ? files.sentinelUsers : files.users,
    ...(isSentinel ? {} : { masterauth: security.adminPassword }),
  }
}

/** A certificate of 127.0.0.1 that signs itself, as files in the folder and as text. */
export async function selfSigned(folder: string) {
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  const subject = ['-subj', '/CN=redis', '-addext', 'subjectAltName=IP:127.0.0.1']
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
  await run('openssl', ['req', '-x509', ...kind, ...subject, '-keyout', key, '-out', cert])
  return { files: { cert, key }, cert: await readFile(cert, 'utf8'), key: await readFile(key, 'utf8') }
}
