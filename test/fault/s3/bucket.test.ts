/** A bucket of a real service, and of one that fails. */
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readdir, writeFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { createSecureServer } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { describe, expect, test, vi } from 'vitest'
import { SharedFile } from '../../../src/store/files/file.ts'
import { ObjectsFailure } from '../../../src/store/objects.ts'
import { openBucket } from '../../../src/store/s3/open.ts'
import type { S3Options } from '../../../src/store/s3/options.ts'
import { loopbackCertificate } from '../../fake/certificates.ts'
import { startFaultProxy } from '../../support/fault-proxy.ts'
import { NetworkLink } from '../../support/network-link.ts'
import { startOddService } from '../../support/odd-service.ts'
import { hasS3, type S3Service, startS3 } from '../../support/s3.ts'
import { tempDir } from '../../support/temp-dir.ts'

const mebibyte = 1024 * 1024

async function bucketScene(given: Partial<S3Options> = {}) {
  const service = await startS3()
  const proxy = await startFaultProxy(service.port)
  const bucket = await openBucket(service.options(given, proxy.port))
  return {
    service,
    proxy,
    bucket,
    async [Symbol.asyncDispose]() {
      bucket.close()
      await proxy[Symbol.asyncDispose]()
      await service[Symbol.asyncDispose]()
    },
  }
}

async function troubleOf(task: Promise<unknown>): Promise<string> {
  const error = await task.then(
    () => undefined,
    (failure: unknown) => failure,
  )
  expect(error).toBeInstanceOf(ObjectsFailure)
  return (error as ObjectsFailure).trouble
}

/** Past whatever a test makes of the way, and whoever is impatient. */
async function putPatiently(service: S3Service, key: string, content: Buffer): Promise<void> {
  const bucket = await openBucket(service.options())
  await bucket.put(key, content)
  bucket.close()
}

async function fileOf(path: string, content: Buffer) {
  await writeFile(path, content)
  return SharedFile.open(path, 'r')
}

describe.runIf(hasS3)('a bucket', () => {
  test('keeps, gives and forgets objects below its prefix', async () => {
    await using scene = await bucketScene({ prefix: 'some/where' })
    const { bucket, service } = scene
    expect(await bucket.head('a/b')).toBeUndefined()
    expect(await bucket.read('a/b', 10)).toBeUndefined()
    const version = await bucket.put('a/b', Buffer.from('0123456789'))
    expect(existsSync(service.path('some/where/a/b'))).toBe(true)
    expect(await bucket.head('a/b')).toMatchObject({ size: 10, version })
    expect(await bucket.read('a/b', 10)).toEqual({ content: Buffer.from('0123456789'), version })
    expect(await troubleOf(bucket.read('a/b', 9))).toBe('broken')
    const opened = await bucket.open('a/b', { first: 4 })
    expect(opened).toMatchObject({ first: 4, total: 10, version })
    expect(opened && (await buffer(opened.body)).toString()).toBe('456789')
    const middle = await bucket.open('a/b', { first: 2, last: 3 })
    expect(middle && (await buffer(middle.body)).toString()).toBe('23')
    expect(await bucket.remove('a/b')).toBe(true)
    expect(await bucket.remove('a/b')).toBe(true)
    expect(await bucket.head('a/b')).toBeUndefined()
  })

  test('keeps to conditions, once it has found out', async () => {
    await using scene = await bucketScene()
    const { bucket } = scene
    expect(bucket.isConditional).toBe(false)
    await bucket.probe()
    expect([bucket.isConditional, bucket.removesConditionally]).toEqual([true, true])
    expect((await bucket.list('probe/')).objects).toEqual([])
    const first = await bucket.put('record', Buffer.from('one'), 'absent')
    expect(first).toEqual(expect.any(String))
    expect(await bucket.put('record', Buffer.from('two'), 'absent')).toBe(false)
    const second = await bucket.put('record', Buffer.from('two'), { version: String(first) })
    expect(second).toEqual(expect.any(String))
    expect(await bucket.put('record', Buffer.from('three'), { version: String(first) })).toBe(false)
    expect(await bucket.put('gone', Buffer.from('x'), { version: String(first) })).toBe(false)
    expect((await bucket.read('record', 10))?.content.toString()).toBe('two')
  })

  test('of many that write under one condition one is told that it did', async () => {
    await using scene = await bucketScene()
    const { bucket } = scene
    const results = await Promise.all(
      Array.from({ length: 16 }, (_, n) => bucket.put('owner', Buffer.from(`replica ${n}`), 'absent')),
    )
    expect(results.filter(version => version !== false)).toHaveLength(1)
  })

  test('lists in byte order, page by page, with and without a delimiter', async () => {
    await using scene = await bucketScene({ prefix: 'p' })
    const { bucket } = scene
    const keys = ['names/a/_tags/1.0', 'names/a/_tags/_x', 'names/a/_tags/v-1', 'names/b/_tags/1', 'other']
    for (const key of keys) await bucket.put(key, Buffer.from(key))
    const first = await bucket.list('names/', { limit: 3 })
    expect(first.objects.map(({ key }) => key)).toEqual(keys.slice(0, 3))
    const next = await bucket.list('names/', { after: first.next })
    expect(next).toMatchObject({ objects: [{ key: keys[3], size: 15 }], next: undefined })
    const folders = await bucket.list('names/', { delimiter: '/' })
    expect(folders).toMatchObject({ objects: [], prefixes: ['names/a/', 'names/b/'], next: undefined })
    expect(await bucket.list('nothing/', { delimiter: '/' })).toMatchObject({ objects: [], prefixes: [] })
  })

  test('without conditional deletes removes whatever is there', async () => {
    await using service = await startS3()
    const isConditional = ({ method, headers }: IncomingMessage) =>
      method === 'DELETE' && headers['if-match'] !== undefined
    await using odd = await startOddService(service.port, asked => (isConditional(asked) ? 501 : undefined))
    const bucket = await openBucket(service.options({}, odd.port))
    await bucket.probe()
    expect([bucket.isConditional, bucket.removesConditionally]).toEqual([true, false])
    await bucket.put('record', Buffer.from('one'))
    expect(await bucket.remove('record', '"any"')).toBe(true)
    expect(await bucket.head('record')).toBeUndefined()
    bucket.close()
  })

  test('is spoken to by HTTP/1.1, also where it knows HTTP/2: each transfer has a connection of its own', async () => {
    const versions: string[] = []
    const { cert, key } = loopbackCertificate
    const server = createSecureServer({ cert, key, allowHTTP1: true }, ({ httpVersion }, answer) => {
      versions.push(httpVersion)
      answer.writeHead(404).end()
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    await using service = await startS3()
    const options = { ...service.options({ ca: cert }), endpoint: `https://127.0.0.1:${port}` }
    const bucket = await openBucket(options)
    expect(await bucket.head('anything')).toBeUndefined()
    bucket.close()
    server.close()
    expect(versions).toEqual(['1.1'])
  })

  test('is asked again when an answer breaks off', async () => {
    await using scene = await bucketScene()
    const { bucket, proxy } = scene
    for (let nth = 0; nth < 40; nth += 1) await bucket.put(`some/${nth}`, Buffer.from('x'))
    const before = proxy.connections
    proxy.fail({ kind: 'cut', afterBytes: 2_000, connections: 2 })
    expect((await bucket.list('some/')).objects).toHaveLength(40)
    expect(proxy.connections).toBeGreaterThanOrEqual(before + 3)
  })

  test('that refuses every conditional delete is used without them', async () => {
    await using service = await startS3()
    for (const status of [403, 412]) {
      const isOdd = ({ method, headers }: IncomingMessage) =>
        method === 'DELETE' && headers['if-match'] !== undefined
      await using odd = await startOddService(service.port, asked => (isOdd(asked) ? status : undefined))
      const bucket = await openBucket(service.options({}, odd.port))
      await bucket.probe()
      expect([bucket.isConditional, bucket.removesConditionally], String(status)).toEqual([true, false])
      bucket.close()
    }
  })

  test('that does not tell what is absent from what is forbidden cannot be used', async () => {
    await using service = await startS3()
    await using odd = await startOddService(service.port, (_, status) => (status === 404 ? 403 : undefined))
    const bucket = await openBucket(service.options({}, odd.port))
    expect(await troubleOf(bucket.probe())).toBe('denied')
    bucket.close()
  })

  test('takes bytes for longer than nothing may come, as long as they move', async () => {
    await using service = await startS3()
    await using link = await NetworkLink.start(service.port)
    const timeouts = { connectMs: 1_000, requestMs: 10_000, idleMs: 1_000 }
    const bucket = await openBucket(service.options({ timeouts }, link.port))
    link.limit(32 * mebibyte)
    expect(await bucket.put('slow', Buffer.alloc(64 * mebibyte))).toEqual(expect.any(String))
    expect(link.connections).toBe(1)
    bucket.close()
  })

  test('takes files in parts, and copies them', async () => {
    await using scene = await bucketScene()
    await using dir = await tempDir()
    const { bucket } = scene
    const content = Buffer.alloc(20 * mebibyte + 17, 'layover ')
    const file = await fileOf(dir.join('file'), content)
    const sent: Buffer[] = []
    const size = content.length
    expect(
      await bucket.putFile('large', { file, size, sent: bytes => void sent.push(Buffer.from(bytes)) }),
    ).toEqual(expect.any(String))
    expect(Buffer.concat(sent).equals(content)).toBe(true)
    const opened = await bucket.open('large')
    expect(opened && (await buffer(opened.body)).equals(content)).toBe(true)
    expect(await bucket.copy('large', 'copied')).toBe(true)
    expect(await bucket.head('copied')).toMatchObject({ size })
    expect(await bucket.copy('nothing', 'copied')).toBe(false)
    file.release()
  })

  test('a file whose last answer is lost is there, and one of the same size is not taken for it', async () => {
    await using service = await startS3()
    await using dir = await tempDir()
    const isLast = ({ method, url = '' }: IncomingMessage) => method === 'POST' && url.includes('uploadId=')
    const lasts: IncomingMessage[] = []
    // Many services do not remember that they have done it.
    const answerOf = (asked: IncomingMessage) => (lasts.push(asked) === 1 ? 'cut' : 404)
    await using odd = await startOddService(service.port, asked =>
      isLast(asked) ? answerOf(asked) : undefined,
    )
    const bucket = await openBucket(service.options({}, odd.port))
    const size = 9 * mebibyte
    const file = await fileOf(dir.join('file'), Buffer.alloc(size, 'layover '))
    const version = await bucket.putFile('large', { file, size })
    expect(await bucket.head('large')).toMatchObject({ size, version })
    const other = await fileOf(dir.join('other'), Buffer.alloc(size))
    const lost = async () => (await bucket.reap(0, Date.now() + 60_000)) > 0
    expect(await troubleOf(bucket.putFile('large', { file: other, size, isRight: lost }))).toBe('broken')
    expect(await bucket.head('large')).toMatchObject({ version })
    for (const each of [file, other]) each.release()
    bucket.close()
  })

  test('a file that is not right is never there, nor any part of it', async () => {
    await using scene = await bucketScene()
    await using dir = await tempDir()
    const { bucket, service } = scene
    for (const size of [3, 9 * mebibyte]) {
      const file = await fileOf(dir.join('file'), Buffer.alloc(size))
      expect(await bucket.putFile('wrong', { file, size, isRight: () => false })).toBe(false)
      file.release()
    }
    expect(await bucket.head('wrong')).toBeUndefined()
    expect(await bucket.reap(0, Date.now() + 60_000)).toBe(0)
    expect(await readdir(service.path(''))).not.toContain('wrong')
  })

  test('what was begun in parts and never ended is reaped', async () => {
    await using scene = await bucketScene()
    await using dir = await tempDir()
    const { bucket, proxy } = scene
    const file = await fileOf(dir.join('file'), Buffer.alloc(17 * mebibyte))
    const ending = new AbortController()
    const put = bucket.putFile('cut', {
      file,
      size: 17 * mebibyte,
      signal: ending.signal,
      sent: () => {
        proxy.fail({ kind: 'refuse' })
        ending.abort(new Error('stopped'))
      },
    })
    await expect(put).rejects.toThrow('stopped')
    file.release()
    proxy.fail({ kind: 'none' })
    expect(await bucket.head('cut')).toBeUndefined()
    expect(await bucket.reap(60_000, Date.now())).toBe(0)
    expect(await bucket.reap(0, Date.now() + 60_000)).toBe(1)
  })
})

describe.runIf(hasS3)('a bucket is reached', () => {
  test('over TLS, with a certificate that is trusted besides those of Node', async () => {
    await using service = await startS3({ tls: true })
    const stranger = await openBucket(service.options())
    expect(await troubleOf(stranger.probe())).toBe('unreachable')
    stranger.close()
    const friend = await openBucket(service.options({ ca: loopbackCertificate.cert }))
    await friend.probe()
    expect(friend.isConditional).toBe(true)
    friend.close()
  })

  test('in the path of the URL, or in its host', async () => {
    await using service = await startS3()
    const links = { endpoint: undefined, validMs: 60_000 }
    for (const pathStyle of [true, false]) {
      const bucket = await openBucket(service.options({ pathStyle, links, endpoint: 'http://s3.invalid' }))
      const { host, pathname } = new URL((await bucket.link('key')) ?? '') // made as every request is
      expect([host, pathname]).toEqual(
        pathStyle ? ['s3.invalid', '/layover/key'] : ['layover.s3.invalid', '/key'],
      )
      bucket.close()
    }
  })
})

describe.runIf(hasS3)('a bucket that fails says how', () => {
  test('nobody there, nobody answers, patience asked for, refused', async () => {
    await using scene = await bucketScene({ timeouts: { connectMs: 500, requestMs: 1_500, idleMs: 1_000 } })
    const { bucket, proxy, service } = scene
    await putPatiently(service, 'here', Buffer.from('x'))
    proxy.fail({ kind: 'refuse' })
    expect(await troubleOf(bucket.head('here'))).toMatch(/unreachable|timeout/)
    proxy.fail({ kind: 'stall' })
    expect(await troubleOf(bucket.read('here', 10))).toBe('timeout')
    proxy.fail({ kind: 'answer', status: 503, body: '<Error><Code>SlowDown</Code></Error>' })
    expect(await troubleOf(bucket.list(''))).toMatch(/throttled|timeout/)
    proxy.fail({ kind: 'none' })
    await vi.waitFor(async () => expect(await bucket.head('here')).toMatchObject({ size: 1 }), 10_000)
    const stranger = await openBucket(
      service.options({ credentials: { accessKeyId: 'layover', secretAccessKey: 'wrong' } }),
    )
    expect(await troubleOf(stranger.read('here', 10))).toBe('denied')
    expect(await troubleOf(stranger.probe())).toBe('denied')
    stranger.close()
    const other = await openBucket(service.options({ bucket: 'other' }))
    expect(await troubleOf(other.probe())).toBe('missing')
    other.close()
  })

  test('a body that breaks off is an error of it', async () => {
    await using scene = await bucketScene()
    const { bucket, proxy } = scene
    await bucket.put('large', Buffer.alloc(mebibyte))
    proxy.fail({ kind: 'cut', afterBytes: 100_000 })
    const opened = await bucket.open('large')
    expect(opened?.total).toBe(mebibyte)
    expect(opened && (await troubleOf(buffer(opened.body)))).toBe('unreachable')
  })

  test('a body that stalls is an error of it', async () => {
    await using scene = await bucketScene({ timeouts: { connectMs: 500, requestMs: 10_000, idleMs: 500 } })
    const { bucket, proxy, service } = scene
    await putPatiently(service, 'large', Buffer.alloc(mebibyte))
    proxy.fail({ kind: 'freeze', afterBytes: 100_000 })
    const opened = await bucket.open('large')
    expect(opened && (await troubleOf(buffer(opened.body)))).toBe('timeout')
  })
})
