/** Who may ask the admin API, where it listens, and what it does not take. */
import { once } from 'node:events'
import { readdir, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { AdminAddress } from '../../../src/admin/listen.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { ask, scene } from '../scene.ts'
import { type AdminFailure, askAddress, askSocket, failureOf } from './client.ts'

const anywhere: AdminAddress = { host: '127.0.0.1', port: 0, isDefault: false }
const world = (admin?: AdminAddress, path?: string) =>
  scene({ upstreams: () => [], admin, ...(path === undefined ? {} : { store: { path } }) })

describe('the socket', () => {
  test('is for the user who runs Layover alone, and gone after a stop with all that made it', async () => {
    await using dir = await tempDir()
    await using at = await world(undefined, dir.path)
    const socket = join(dir.path, 'admin.sock')
    expect(at.layover.admin).toMatchObject({ socket, address: undefined })
    expect((await stat(socket)).mode & 0o777).toBe(0o600)
    expect((await askSocket(at.layover, '/flights')).body).toEqual({ flights: [] })
    expect(await readdir(dir.join('trash'))).toEqual([])
    await at.layover.stop()
    expect(await readdir(dir.path)).not.toContain('admin.sock')
  })

  test('takes the place of what a killed process left there', async () => {
    await using dir = await tempDir()
    await writeFile(dir.join('admin.sock'), 'left behind')
    await using at = await world(undefined, dir.path)
    expect((await askSocket(at.layover, '/flights')).status).toBe(200)
  })

  test('is left out with a warning where its path would be too long', async () => {
    await using dir = await tempDir()
    await using at = await world(undefined, dir.join('a'.repeat(100)))
    expect(at.layover.admin?.socket).toBeUndefined()
    const warnings = at.layover.lines.filter(({ msg }) => String(msg).includes('the admin API has no socket'))
    expect(warnings).toHaveLength(1)
    expect((await ask(at.layover.url, '/readyz')).status).toBe(200)
  })

  test('answers whatever Host and Origin say: who may open it may ask', async () => {
    await using at = await world()
    const headers = { host: 'registry.corp.example', origin: 'http://page.example' }
    expect((await askSocket(at.layover, '/flights', { headers })).status).toBe(200)
  })
})

describe('the address', () => {
  test.each([
    ['a loopback address', '127.0.0.1:1234', 200],
    ['the same as IPv6', '[::1]', 200],
    ['localhost', 'LOCALHOST:8081', 200],
    ['a name that may be led here', 'page.example:8081', 403],
    ['a name that begins like one', 'localhost.page.example', 403],
    ['another address', '10.0.0.1:8081', 403],
    ['another spelling', '0177.0.0.1', 403],
  ])('%s as Host', async (_, host, status) => {
    await using at = await world(anywhere)
    expect((await askAddress(at.layover, '/flights', { headers: { host } })).status).toBe(status)
  })

  test.each(['origin', 'x-forwarded-for', 'via', 'forwarded'])('refuses what carries %s', async header => {
    await using at = await world(anywhere)
    const headers = { host: 'localhost', [header]: 'http://localhost' }
    const answer = await askAddress(at.layover, '/reload', { method: 'POST', headers })
    expect(failureOf(answer)).toEqual([403, 'DENIED'])
    expect((answer.body as AdminFailure).error.message).toContain(header)
  })

  test('that nobody asked for and that is taken is done without, and said', async () => {
    await using taken = await occupied()
    await using at = await world({ ...anywhere, port: taken.port, isDefault: true })
    expect(at.layover.admin?.address).toBeUndefined()
    expect((await askSocket(at.layover, '/flights')).status).toBe(200)
    expect(at.layover.lines).toContainEqual(expect.objectContaining({ port: taken.port, code: 'EADDRINUSE' }))
  })

  test('that was asked for and is taken fails the start, which leaves the store to others', async () => {
    await using dir = await tempDir()
    await using taken = await occupied()
    await expect(world({ ...anywhere, port: taken.port }, dir.path)).rejects.toThrow(
      `the admin API cannot listen on 127.0.0.1:${taken.port} (EADDRINUSE): change \`admin.listen\``,
    )
    await using at = await world(anywhere, dir.path)
    expect((await askAddress(at.layover, '/flights')).status).toBe(200)
  })

  test('of the registry has none of it', async () => {
    await using at = await world(anywhere)
    for (const path of ['/api/v1/flights', '/v2/api/v1/flights', '/admin.sock'])
      expect((await ask(at.layover.url, path)).status).toBe(404)
  })
})

describe('a request', () => {
  test.each([
    [
      'a body that says it is no JSON',
      { headers: { 'content-type': 'text/plain' } },
      415,
      'UNSUPPORTED_MEDIA_TYPE',
    ],
    ['a body that is no JSON', { body: '{' }, 400, 'INVALID_REQUEST'],
    ['a body that is no object', { body: '[]' }, 400, 'INVALID_REQUEST'],
    ['a key that is none', { body: { name: 'a', force: true } }, 400, 'INVALID_REQUEST'],
    ['a name of another kind', { body: { name: 1 } }, 400, 'INVALID_REQUEST'],
    ['an empty body', { body: '' }, 400, 'INVALID_REQUEST'],
    ['a body of 65 KiB', { body: `"${'a'.repeat(65 * 1024)}"` }, 413, 'TOO_LARGE'],
    ['a parameter that is none', { query: { dry: '1' } }, 400, 'INVALID_REQUEST'],
  ])('with %s changes nothing', async (_, asked, status, code) => {
    await using at = await world()
    const answer = await askSocket(at.layover, '/images/refresh', {
      method: 'POST',
      body: { name: 'a' },
      ...asked,
    })
    expect(failureOf(answer)).toEqual([status, code])
  })

  test('for what is not there says what is', async () => {
    await using at = await world()
    expect(failureOf(await askSocket(at.layover, '/nothing'))).toEqual([404, 'NOT_FOUND'])
    const answer = await askSocket(at.layover, '/images', { method: 'PUT' })
    expect(failureOf(answer)).toEqual([405, 'METHOD_NOT_ALLOWED'])
    expect(answer.headers.allow).toBe('GET, DELETE')
    const twice = await askSocket(at.layover, '/images?name=a&name=b')
    expect(failureOf(twice)).toEqual([400, 'INVALID_REQUEST'])
  })
})

/** A port that somebody else listens on. */
async function occupied() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address ? address.port : 0
  return {
    port,
    async [Symbol.asyncDispose]() {
      server.close()
      await once(server, 'close')
    },
  }
}
