/** Paths that would like to be elsewhere: answered in the form of the specification, and nothing outside the store is touched. */
import { readdir } from 'node:fs/promises'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { image } from '../../fake/content.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { name, type PushScene, pushScene } from '../push/scene.ts'
import { head, statusesIn, talk } from './wire.ts'

const tricks = [
  '/v2/../../etc/passwd',
  '/v2/..%2f..%2fetc/passwd',
  '/v2/%2e%2e/%2e%2e/manifests/v1',
  '/v2/local/../../x/manifests/v1',
  '/v2/local/./app/manifests/v1',
  '/v2/local//app/manifests/v1',
  '//v2/local/app/manifests/v1',
  '/v2/local%2fapp/manifests/v1',
  '/v2/local%252fapp/manifests/v1',
  '/v2/local\\app/manifests/v1',
  '/v2/local/app/manifests/..\\..\\x',
  '/v2/local/app/manifests/%00',
  '/v2/local/app%00/manifests/v1',
  '/v2/local/app/manifests/v1%0d%0aset-cookie:%20a=b',
  '/v2/local/app;x=1/manifests/v1',
  '/v2/local/app/manifests/v1;x=1',
  '/v2/local/app/blobs/uploads/..',
  '/v2/local/app/blobs/uploads/..%2f..%2fcached',
  '/v2/local/app/blobs/uploads/%2e%2e',
  '/v2/local/app/blobs/sha256:../../../../etc/passwd',
  `/v2/local/app/blobs/sha256:${'.'.repeat(64)}`,
  '/v2/local/app/tags/list/..',
  '/v2/__proto__/constructor/manifests/v1',
  '/v2/local/__proto__/manifests/__proto__',
  '/v2/_local/_tags/manifests/v1',
  '/v2/local/_manifests/tags/list',
  '/v2/%ff/manifests/v1',
  '/v2/%/manifests/v1',
  `/v2/local/${'a/'.repeat(5_000)}manifests/v1`,
  `/v2/local/${'a'.repeat(256)}/manifests/v1`,
  'http://evil.example/v2/local/../x/manifests/v1',
  'http://evil.example',
  'file:///etc/passwd',
  '/etc/passwd',
  '/livez/../../etc/passwd',
  '*',
]

/** Nothing but the store lies in it. */
let around: Awaited<ReturnType<typeof tempDir>>
let at: PushScene

beforeAll(async () => {
  around = await tempDir()
  at = await pushScene({ store: { path: around.join('store') } })
})
afterAll(async () => {
  await at[Symbol.asyncDispose]()
  await around[Symbol.asyncDispose]()
})

test.each(tricks)('%s', async path => {
  const before = await outside()
  for (const method of ['GET', 'PUT', 'DELETE', 'PATCH']) {
    const bytes = head(`${method} ${path}`, { connection: 'close', 'content-length': '0' })
    const heard = await talk(at.layover.url, bytes)
    expect([method, statusesIn(heard)]).toEqual([method, [expect.toBeOneOf([400, 404, 405])]])
    expect(heard).not.toMatch(/root:|set-cookie/i)
  }
  expect(await outside()).toEqual(before)
})

test('no path made of such pieces breaks anything', async () => {
  const before = await outside()
  const pieces = fc.constantFrom(
    '..',
    '.',
    '/',
    '//',
    '%2f',
    '%2F',
    '%5c',
    '%00',
    '%0a',
    '%2e',
    '%ff',
    '%25',
    '\\',
    ';',
    '?',
    '#',
    '@',
    ':',
    'v2',
    'local',
    'a',
    '_catalog',
    '_ext',
    '_oci',
    'manifests',
    'blobs',
    'uploads',
    'tags',
    'list',
    'referrers',
    'sha256:',
    'docker.io',
    'é',
    '~',
    '*',
    '[',
    '__proto__',
  )
  const methods = fc.constantFrom('GET', 'HEAD', 'PUT', 'POST', 'PATCH', 'DELETE')
  const paths = fc.array(pieces, { maxLength: 12 }).map(found => `/v2/local/${found.join('/')}`)
  await fc.assert(
    fc.asyncProperty(methods, paths, async (method, path) => {
      const bytes = head(`${method} ${path}`, { connection: 'close', 'content-length': '0' })
      const heard = await talk(at.layover.url, Buffer.from(bytes))
      const [status = 0, ...others] = statusesIn(heard)
      expect(others).toEqual([])
      expect(status).toBeGreaterThanOrEqual(200)
      expect(status).toBeLessThan(500)
    }),
    { seed: 20_260_101, numRuns: 300 },
  )
  expect(await outside()).toEqual(before)
})

test('a parameter is no path either', async () => {
  const app = image('app', { layers: [10] })
  await at.put(app.root, 'v1')
  const queries = [
    'n=-1',
    'n=1e9',
    'n=%00',
    'n=0x10',
    `n=${'9'.repeat(400)}`,
    'last=../..',
    'last=%00%ff',
    `last=${'a'.repeat(8_000)}`,
    'n=1&n=2',
    '%',
    '=&&=',
    'artifactType=%0d%0a',
    'ns=..%2f..',
    'ns=http://evil.example',
  ]
  for (const query of queries) {
    for (const path of [
      `/v2/${name}/tags/list`,
      '/v2/_catalog',
      `/v2/${name}/referrers/${app.digest}`,
      `/v2/${name}/manifests/v1`,
    ]) {
      const { status } = await at.ask(`${path}?${query}`)
      expect([path, query, status]).toEqual([path, query, expect.toBeOneOf([200, 400, 404])])
    }
  }
  for (const query of [
    'digest=../..',
    'digest=sha256:',
    'digest=',
    'mount=../..',
    `mount=${app.digest}&from=../..`,
    'digest-algorithm=md5',
    `digest=sha256:${'A'.repeat(64)}`,
  ]) {
    const { status } = await at.ask(`/v2/${name}/blobs/uploads/?${query}`, { method: 'POST' })
    expect([query, status]).toEqual([query, expect.toBeOneOf([202, 400])])
  }
})

/** What lies around the store, and on its first level. */
async function outside(): Promise<string[][]> {
  return [await readdir(around.path), (await readdir(at.layover.storePath)).sort()]
}
