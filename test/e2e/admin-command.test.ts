/** Commands that ask the running process, as people use them. */
import { readdir, stat } from 'node:fs/promises'
import { expect, test, vi } from 'vitest'
import { parse } from 'yaml'
import { image } from '../fake/content.ts'
import { startInternet } from '../fake/internet.ts'
import { ask } from '../http/scene.ts'
import { home } from './home.ts'

const first = image('first')
const second = image('second')

async function served() {
  const net = await startInternet()
  net.plain.put('app', 'v1', first)
  const url = net.url('plain.test').replace('plain.test', '127.0.0.1')
  const configuration = `listen: 127.0.0.1:0
store: {path: ./data}
upstreams: [{registry: plain.example, url: "${url}", allowPrivate: [127.0.0.0/8]}]
local: [{match: local/**}]
`
  const at = await home(configuration)
  const { daemon, url: registry } = await at.serve()
  const path = '/v2/plain.example/app/manifests/v1'
  return {
    ...at,
    net,
    daemon,
    configuration,
    pull: async () => (await ask(registry, path)).headers['docker-content-digest'],
    async [Symbol.asyncDispose]() {
      await daemon.stop()
      await net.close()
      await at[Symbol.asyncDispose]()
    },
  }
}

test('without a running process each says so in one line, and exits with 1', async () => {
  await using at = await home()
  for (const args of [
    ['status'],
    ['flights'],
    ['reload'],
    ['inspect', 'a'],
    ['drop', 'a'],
    ['refresh', 'a'],
    ['pin', 'a'],
    ['unpin', 'a'],
    ['pins'],
    ['evict', '1MiB'],
  ]) {
    expect(at.command(...args)).toEqual({
      code: 1,
      stdout: '',
      complaints: [expect.stringMatching(/^layover: no process serves .*: start it with `layover serve`$/)],
    })
  }
  expect(at.command('evict', 'much')).toMatchObject({
    code: 2,
    complaints: [expect.stringMatching(/say how much: 10GiB/)],
  })
  expect(at.command('drop')).toMatchObject({
    code: 2,
    complaints: [expect.stringMatching(/say which image/)],
  })
})

test('an image is inspected, refreshed and dropped', async () => {
  await using at = await served()
  const name = 'plain.example/app:v1'
  expect(await at.pull()).toBe(first.digest)
  await vi.waitFor(async () => {
    const inspected = await at.run('inspect', name) // it is kept a little after it was answered
    expect(inspected.code).toBe(0)
    expect(parse(inspected.stdout)).toMatchObject({
      copies: [{ tag: { digest: first.digest, isFresh: true } }],
    })
  }, 20_000)

  at.net.plain.put('app', 'v1', second)
  expect(await at.pull()).toBe(first.digest)
  const refreshed = await at.run('refresh', '--json', name)
  expect(JSON.parse(refreshed.stdout)).toMatchObject({ tags: [{ outcome: 'moved', digest: second.digest }] })
  expect(await at.pull()).toBe(second.digest)

  at.net.plain.put('app', 'v1', first)
  expect((await at.run('drop', name)).stdout).toContain('tags: 1')
  expect(await at.pull()).toBe(first.digest)
  expect(await at.run('drop', 'plain.example/other')).toMatchObject({
    code: 1,
    complaints: ['layover: nothing of plain.example/other is here'],
  })

  const down = at.net.fault({ host: 'plain.test', kind: 'status', status: 500 })
  expect(await at.run('refresh', name)).toMatchObject({
    code: 1,
    complaints: [expect.stringMatching(/plain\.example/)],
  })
  expect((await at.run('refresh', 'plain.example/app')).code).toBe(1)
  down.release()
  expect(await at.pull()).toBe(first.digest)
})

test('what is pinned outlasts an eviction of everything', async () => {
  await using at = await served()
  const name = 'plain.example/app:v1'
  await at.pull()
  const cached = async () => {
    const { stdout } = await at.run('status', '--json')
    return (JSON.parse(stdout) as { store: { cached: unknown[] } }).store.cached
  }
  await vi.waitFor(async () => expect(await cached()).toMatchObject([{ blobs: 1 }]), 10_000)
  expect((await at.run('pin', name)).code).toBe(0)
  expect((await at.run('pins')).stdout).toContain(name)
  expect((await at.run('evict', '1GiB')).stdout).toContain('blobs: 0')
  expect((await at.run('unpin', name)).code).toBe(0)
  expect((await at.run('evict', '1GiB')).stdout).toContain('blobs: 1')
})

test('the configuration is read again, and a mistake in it told with its place', async () => {
  await using at = await served()
  expect(await at.run('reload')).toMatchObject({ code: 0, stdout: 'waiting: []\n' })
  await at.write('upstreams.yaml', at.configuration.replace('./data', './other'))
  expect(await at.run('reload', '--config', 'upstreams.yaml')).toMatchObject({ code: 1 }) // nobody serves that one
  await at.write('old.yaml', at.configuration)
  expect(await at.run('reload', '--config', 'old.yaml')).toMatchObject({
    code: 0,
    stdout: 'waiting:\n  - store\n',
  })
  await at.write('upstreams.yaml', `${at.configuration}hots: []\n`)
  expect(await at.run('reload', '--config', 'old.yaml')).toEqual({
    code: 1,
    stdout: '',
    complaints: [
      'layover: the new configuration is refused, the old one stays in force',
      expect.stringMatching(/^5:1 hots: /),
    ],
  })
  expect(await at.run('status')).toEqual({
    code: 2,
    stdout: '',
    complaints: [
      expect.stringMatching(/^upstreams\.yaml:5:1 hots: /),
      'layover: with --store FOLDER who serves it is asked without the configuration',
    ],
  })
  expect(await at.run('status', '--store', 'data')).toMatchObject({ code: 0, complaints: [] })
  expect(await at.pull()).toBe(first.digest)
})

test('a process that comes after a killed one takes its socket over, one that finds the store served leaves it', async () => {
  await using at = await served()
  expect(at.command('serve')).toMatchObject({
    code: 1,
    complaints: [expect.stringMatching(/in use by process/)],
  })
  expect((await at.run('status')).code).toBe(0)
  at.daemon.send('SIGKILL')
  await at.daemon.ended
  expect((await stat(at.join('data/admin.sock'))).isSocket()).toBe(true)
  expect((await at.run('status')).code).toBe(1)
  const { daemon } = await at.serve()
  const { stdout } = await at.run('status')
  expect(parse(stdout)).toMatchObject({
    servers: expect.any(Number),
    upstreams: [{ registry: 'plain.example' }],
  })
  await daemon.stop()
  expect(await readdir(at.join('data'))).not.toContain('admin.sock')
})
