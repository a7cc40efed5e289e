/** Requests whose ends two servers could see in different places, and others that are hardly HTTP: refused, closed, and nothing done. */
import { describe, expect, test } from 'vitest'
import { name, pushScene } from '../push/scene.ts'
import { head, statusesIn, talk } from './wire.ts'

const uploads = `/v2/${name}/blobs/uploads/`
/** What a smuggler wants to have taken for a request of its own. */
const hidden = head(`POST ${uploads}`, { 'content-length': '0', connection: 'close' })

const framings: [string, string][] = [
  [
    'both lengths',
    head(`POST ${uploads}`, { 'content-length': '4', 'transfer-encoding': 'chunked' }, `0\r\n\r\n${hidden}`),
  ],
  [
    'both lengths, the other way round',
    head(`POST ${uploads}`, { 'transfer-encoding': 'chunked', 'content-length': '4' }, `0\r\n\r\n${hidden}`),
  ],
  [
    'two lengths',
    `POST ${uploads} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 0\r\ncontent-length: 40\r\n\r\n${hidden}`,
  ],
  ['a list of lengths', head(`POST ${uploads}`, { 'content-length': '0, 40' }, hidden)],
  ['a negative length', head(`POST ${uploads}`, { 'content-length': '-1' }, hidden)],
  ['a length with a sign', head(`POST ${uploads}`, { 'content-length': '+0' }, hidden)],
  ['a length beyond all numbers', head(`POST ${uploads}`, { 'content-length': '9'.repeat(30) }, hidden)],
  [
    'an encoding that nobody knows',
    head(`POST ${uploads}`, { 'transfer-encoding': 'xchunked' }, `0\r\n\r\n${hidden}`),
  ],
  [
    'an encoding behind chunked',
    head(`POST ${uploads}`, { 'transfer-encoding': 'chunked, identity' }, `0\r\n\r\n${hidden}`),
  ],
  [
    'a space in front of the colon',
    head(`POST ${uploads}`, { 'transfer-encoding ': 'chunked' }, `0\r\n\r\n${hidden}`),
  ],
  [
    'a control character in front of chunked',
    head(`POST ${uploads}`, { 'transfer-encoding': '\x0bchunked' }, `0\r\n\r\n${hidden}`),
  ],
  [
    'a folded header',
    `POST ${uploads} HTTP/1.1\r\nhost: 127.0.0.1\r\nx: a\r\n content-length: 3\r\n\r\n${hidden}`,
  ],
  [
    'lines that end with LF alone',
    `POST ${uploads} HTTP/1.1\nhost: 127.0.0.1\ncontent-length: 0\n\n${hidden}`,
  ],
  ['a zero byte in the path', `POST ${uploads}\0 HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n`],
  ['no Host', `POST ${uploads} HTTP/1.1\r\ncontent-length: 0\r\n\r\n`],
  ['another version', `POST ${uploads} HTTP/9.9\r\nhost: 127.0.0.1\r\n\r\n`],
  ['HTTP/2 without asking', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
]

test.each(framings)('%s: 400 and no more, and no session begins', async (_, bytes) => {
  await using at = await pushScene()
  expect(statusesIn(await talk(at.layover.url, bytes))).toEqual([400])
  expect(await at.sessions()).toEqual([])
  expect((await at.ask('/v2/')).status).toBe(200)
})

const chunks: [string, string, number][] = [
  ['a size that is no number', 'zz\r\nabc\r\n0\r\n\r\n', 400],
  ['a negative size', '-3\r\nabc\r\n0\r\n\r\n', 400],
  ['a size beyond all numbers', `${'f'.repeat(17)}\r\nabc\r\n0\r\n\r\n`, 400],
  ['more bytes than the size says', '3\r\nabcdef\r\n0\r\n\r\n', 400],
  ['lines that end with LF alone', '3\nabc\n0\n\n', 400],
  ['endless extensions', `3;${'a'.repeat(40_000)}\r\nabc\r\n0\r\n\r\n`, 413],
]

test.each(
  chunks,
)('chunks with %s end the connection, and the session goes on from what was right', async (_, body, status) => {
  await using at = await pushScene()
  const location = await at.start()
  const heard = await talk(
    at.layover.url,
    head(`PATCH ${location}`, { 'transfer-encoding': 'chunked' }, body),
  )
  expect(statusesIn(heard)).toEqual([status])
  const range = await at.untilFree(location)
  expect(range).toBeOneOf(['0-0', '0-2'])
  const from = range === '0-2' ? 3 : 0
  const next = await at.patch(location, Buffer.from('xyz'), { 'content-range': `${from}-${from + 2}` })
  expect([next.status, next.headers.range]).toEqual([202, `0-${from + 2}`])
})

describe('a flood of headers', () => {
  test.each([
    ['one that is long', head('GET /v2/', { x: 'a'.repeat(20_000) })],
    [
      'many of them',
      head('GET /v2/', Object.fromEntries(Array.from({ length: 3_000 }, (_, nth) => [`x${nth}`, '1']))),
    ],
    ['a path that is', head(`GET /v2/${'a'.repeat(20_000)}`)],
    ['one without an end', `GET /v2/ HTTP/1.1\r\nhost: x\r\nx: ${'a'.repeat(1_000_000)}`],
  ])('%s: 431', async (_, bytes) => {
    await using at = await pushScene()
    expect(statusesIn(await talk(at.layover.url, bytes))).toEqual([431])
    expect((await at.ask('/v2/')).status).toBe(200)
  })

  test('in the trailer is thrown away', async () => {
    await using at = await pushScene()
    const location = await at.start()
    const trailer = `digest: sha256:0\r\nx: ${'a'.repeat(1_000)}\r\n`
    const headers = { 'transfer-encoding': 'chunked', connection: 'close' }
    const heard = await talk(
      at.layover.url,
      head(`PATCH ${location}`, headers, `3\r\nabc\r\n0\r\n${trailer}\r\n`),
    )
    expect(statusesIn(heard)).toEqual([202])
    expect(await at.rangeOf(location)).toBe('0-2')
  })
})

describe('methods', () => {
  test.each(['BREW', 'get', 'G\0T', ''])('%j that nobody knows: 400', async method => {
    await using at = await pushScene()
    expect(statusesIn(await talk(at.layover.url, head(`${method} /v2/`)))).toEqual([400])
  })

  test.each([
    'TRACE',
    'OPTIONS',
    'PROPFIND',
    'MKCOL',
    'QUERY',
    'PURGE',
    'POST',
  ])('%s that is not taken: 405 with Allow, everywhere below /v2/', async method => {
    await using at = await pushScene()
    const paths = ['/v2/', '/v2/_catalog', `/v2/${name}/tags/list`, `/v2/${name}/manifests/v1`]
    for (const path of paths) {
      const heard = await talk(
        at.layover.url,
        head(`${method} ${path}`, { connection: 'close', 'content-length': '0' }),
      )
      expect([path, statusesIn(heard)]).toEqual([path, [405]])
      expect(heard).toMatch(/\r\nallow: GET, HEAD/i)
    }
  })

  test('CONNECT is no way through to elsewhere', async () => {
    await using at = await pushScene()
    expect(await talk(at.layover.url, head('CONNECT registry.example:443'))).not.toContain(' 200 ')
  })
})
