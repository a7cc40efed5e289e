/** The connection that everything shares: how long it is waited for, what counts as down, and what is heard over it. */
import { describe, expect, test, vi } from 'vitest'
import { parseRedisAddress } from '../../../src/cluster/redis/address.ts'
import { openRedis, RedisDown, type RedisOptions, RedisRefused } from '../../../src/cluster/redis/redis.ts'
import { createLogger } from '../../../src/observe/log.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { freePort } from '../../support/free-port.ts'
import { RedisServer } from '../../support/redis.ts'
import { selfSigned } from '../../support/redis-security.ts'
import { tempDir } from '../../support/temp-dir.ts'

const silent = createLogger('silent')
const patient = { timeout: 20_000, interval: 20 }

async function open(url: string, more: Partial<RedisOptions> = {}, log = silent) {
  const options = { address: parseRedisAddress(url), prefix: 'test:', ...more }
  const redis = await openRedis(options, { log, clock: systemClock })
  return Object.assign(redis, { [Symbol.asyncDispose]: () => redis.close() })
}

describe('Redis', () => {
  test('a server that hangs is waited for once, and then not asked for a while', async () => {
    await using server = await RedisServer.start()
    await using redis = await open(server.url)
    expect(await redis.ask(client => client.set(redis.key('a'), '1'))).toBe('OK')
    server.pause()
    const reads = Promise.allSettled([1, 2, 3].map(() => redis.ask(client => client.get(redis.key('a')))))
    for (const { status } of await reads) expect(status).toBe('rejected')
    let isAsked = false
    const asked = redis.ask(async () => {
      isAsked = true
    })
    await expect(asked).rejects.toBeInstanceOf(RedisDown)
    expect([isAsked, redis.up]).toEqual([false, false])
    expect(redis.trouble).toContain('250 ms')
    server.resume()
    await vi.waitFor(async () => {
      expect(await redis.ask(client => client.get(redis.key('a')))).toBe('1')
    }, patient)
    expect([redis.up, redis.trouble]).toEqual([true, undefined])
  })

  test('a lost connection is another incarnation, and another server another name', async () => {
    await using server = await RedisServer.start()
    await using redis = await open(server.url)
    const { incarnation } = redis
    const servers = await redis.servers()
    await server.kill()
    await vi.waitFor(() => expect(redis.up).toBe(false), patient)
    expect(redis.incarnation).not.toBe(incarnation)
    await expect(redis.servers()).rejects.toBeInstanceOf(RedisDown)
    await server.begin()
    await vi.waitFor(() => expect(redis.up).toBe(true), patient)
    expect(await redis.servers()).not.toBe(servers)
  })

  test('what it refuses does not make it count as down', async () => {
    await using server = await RedisServer.start({ settings: { maxmemory: '1' } })
    await using redis = await open(server.url)
    const written = redis.ask(client => client.set(redis.key('a'), '1'))
    await expect(written).rejects.toBeInstanceOf(RedisRefused)
    await expect(written).rejects.toThrow('it is full')
    expect(await redis.ask(client => client.get(redis.key('a')))).toBeNull()
  })

  test('a registry starts without it, and the log says when it goes and comes', async () => {
    await using server = await RedisServer.start()
    await server.kill()
    const lines: string[] = []
    const log = createLogger('info', { write: line => void lines.push(line) })
    await using redis = await open(server.url, {}, log)
    expect(redis.up).toBe(false)
    await expect(redis.ask(client => client.ping())).rejects.toThrow('nothing listens there')
    await server.begin()
    await vi.waitFor(() => expect(redis.up).toBe(true), patient)
    expect(lines.map(line => (JSON.parse(line) as { msg: string }).msg)).toEqual([
      'Redis is down: what is cached is served without it',
      'Redis answers again',
    ])
  })

  test('a user and a password, from the address or beside it', async () => {
    await using server = await RedisServer.start()
    await server.command('ACL', 'SETUSER', 'layover', 'on', '>s3cret', '~*', '&*', '+@all')
    await server.command('CONFIG', 'SET', 'requirepass', 'other')
    const ping = async (url: string, more?: Partial<RedisOptions>) => {
      await using redis = await open(url, more)
      return redis.ask(client => client.ping()).catch((error: Error) => error.message)
    }
    const at = `127.0.0.1:${server.port}`
    expect(await ping(`redis://layover:s3cret@${at}`)).toBe('PONG')
    expect(await ping(`redis://:other@${at}`)).toBe('PONG')
    expect(await ping(`redis://${at}`, { username: 'layover', password: 's3cret' })).toBe('PONG')
    expect(await ping(`redis://layover:wrong@${at}`)).toContain('it wants another user or password')
    expect(await ping(`redis://${at}`)).toContain('it wants another user or password')
  })

  test('TLS, with a certificate of its own for who asks', async () => {
    await using folder = await tempDir()
    const { files, cert, key } = await selfSigned(folder.path)
    const port = await freePort()
    const settings = {
      'tls-port': String(port),
      'tls-cert-file': files.cert,
      'tls-key-file': files.key,
      'tls-ca-cert-file': files.cert,
      'tls-auth-clients': 'yes',
    }
    await using server = await RedisServer.start({ settings })
    const ping = async (url: string, tls: RedisOptions['tls'] = {}) => {
      await using redis = await open(url, { tls })
      return redis.ask(client => client.ping()).catch((error: Error) => error.message)
    }
    expect(await ping(`rediss://127.0.0.1:${port}`, { ca: cert, cert, key })).toBe('PONG')
    expect(await ping(`rediss://127.0.0.1:${port}`, { cert, key })).toContain(
      'its certificate is not to be trusted',
    )
    expect(await ping(`rediss://127.0.0.1:${port}`, { ca: cert })).toContain('Redis is down')
    expect(await server.command('PING')).toBe('PONG')
  })

  test('messages are heard by every subscriber, and what may have been missed is told', async () => {
    await using server = await RedisServer.start()
    await using redis = await open(server.url)
    const heard: string[] = []
    let lost = 0
    const subscriber = {
      heard: (message: string) => void heard.push(message),
      lost: () => {
        lost += 1
      },
    }
    const leave = await redis.subscribe('news', subscriber)
    lost = 0 // the first connection says so too
    await redis.publish('news', 'one')
    await redis.publish('other', 'none')
    await vi.waitFor(() => expect(heard).toEqual(['one']), patient)
    await server.kill()
    await vi.waitFor(() => expect(lost).toBe(1), patient)
    await server.begin()
    await vi.waitFor(() => expect(lost).toBe(2), patient)
    await vi.waitFor(() => redis.publish('news', 'two'), patient)
    await vi.waitFor(() => expect(heard).toEqual(['one', 'two']), patient)
    server.pause() // it says nothing, and its connections stay
    await vi.waitFor(() => expect(lost).toBe(3), patient)
    server.resume()
    leave()
  })
})
