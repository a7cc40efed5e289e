/** The requests to services that give out credentials: bounded, direct, and told of without what was said. */
import { afterEach, expect, test, vi } from 'vitest'
import { CloudHttp, CloudRefused } from '../../../../src/upstream/credentials/cloud-http.ts'
import { lookupWith, type Scripted, serve } from '../support.ts'
import { closedPort, refusalOf } from './support.ts'

afterEach(() => {
  vi.unstubAllEnvs()
})

const at = ({ port }: Scripted) => `http://127.0.0.1:${port}/`

function client(proxy?: string) {
  const http = new CloudHttp({ lookup: lookupWith(), proxy })
  return { http, [Symbol.asyncDispose]: () => http.destroy() }
}

test('a redirect is not followed', async () => {
  await using evil = await serve((_, response) => response.end('{}'))
  await using server = await serve((_, response) => response.writeHead(302, { location: at(evil) }).end())
  await using given = client()
  const asking = given.http.askJson({ url: at(server) })
  await expect(asking).rejects.toThrow(CloudRefused)
  expect(await refusalOf(asking)).toBe(`127.0.0.1:${server.port} answered 302`)
  expect(evil.asked).toEqual([])
})

test('an answer of more than 256 KiB is refused', async () => {
  await using server = await serve((_, response) => response.end('x'.repeat(300_000)))
  await using given = client()
  expect(await refusalOf(given.http.ask({ url: at(server) }))).toContain('more than 262144 bytes')
})

test('an answer that is no object, or of a word that is none, is not quoted', async () => {
  const said = ['null', '"s3cret"', 's3cret', '{"error": "s3cret token=1"}', '{"error": {"status": 5}}']
  for (const text of said) {
    await using server = await serve((_, response) => response.writeHead(400).end(text))
    await using given = client()
    expect(await refusalOf(given.http.ask({ url: at(server) }))).toBe(`127.0.0.1:${server.port} answered 400`)
  }
})

test('what is missing is named', async () => {
  await using server = await serve((_, response) => response.end('{"token": 5}'))
  await using given = client()
  const answer = await given.http.askJson({ url: at(server) })
  expect(() => answer.text('token')).toThrow(`127.0.0.1:${server.port} gives no token`)
  expect(() => answer.at('a').at('b').text('c')).toThrow('gives no c')
  expect(answer.number('none')).toBeNaN()
  expect(answer.time('none')).toBeNaN()
})

test('nobody there is told by the code', async () => {
  await using given = client()
  const port = await closedPort()
  expect(await refusalOf(given.http.ask({ url: `http://127.0.0.1:${port}` }))).toBe(
    `127.0.0.1:${port} is unreachable: ECONNREFUSED`,
  )
  expect(await refusalOf(given.http.ask({ url: 'file:///etc/passwd' }))).toBe(
    'the address of a service of the cloud is no URL',
  )
})

test('what is near goes past every proxy; what is far goes through it', async () => {
  await using proxy = await serve((_, response) => response.end('{}'))
  proxy.server.on('connect', (request, socket) => {
    proxy.asked.push({ method: 'CONNECT', url: request.url ?? '', host: '', headers: {}, body: '' })
    socket.end('HTTP/1.1 403 Forbidden\r\n\r\n')
  })
  await using server = await serve((_, response) => response.end('{}'))
  for (const name of ['http_proxy', 'https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY']) vi.stubEnv(name, at(proxy))
  for (const uri of [undefined, at(proxy)]) {
    await using given = client(uri)
    await given.http.ask({ url: at(server), near: true })
    expect(proxy.asked).toEqual([])
    await given.http.ask({ url: 'https://sts.test/' }).catch(() => {})
    expect(proxy.lines()).toEqual(['CONNECT sts.test:443'])
    proxy.asked.length = 0
  }
  expect(server.asked).toHaveLength(2)
})
