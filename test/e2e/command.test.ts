/** The command as people and supervisors meet it: what it says about mistakes, its exit codes, its signals. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, rename, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { seededBlob } from '../fake/bytes.ts'
import { artifactOf } from '../fake/content.ts'
import { startInternet } from '../fake/internet.ts'
import { expectWhole, openDownload } from '../fault/download.ts'
import { home, minimal } from './home.ts'

const miB = 1024 * 1024

describe('a mistake on the command line is told in one line, with exit code 2', () => {
  test.each([
    ['no command', [], /^layover: say which command to run;/],
    ['an unknown command', ['run'], /^layover: there is no command run;/],
    ['an unknown option', ['serve', '--confg', 'x'], /^layover: Unknown option '--confg';/],
    ['an option without its value', ['check', '--config'], /^layover: Option .*--config.* missing;/],
    ['one word too many', ['check', 'upstreams.yaml'], /^layover: unexpected argument upstreams\.yaml;/],
    ['an unknown log level', ['serve', '--log-level', 'loud'], /^layover: --log-level is one of trace, /],
  ])('%s', async (_, args, line) => {
    await using at = await home()
    expect(at.command(...args)).toEqual({ code: 2, stdout: '', complaints: [expect.stringMatching(line)] })
  })
})

describe('a mistake in the configuration is told by serve, check and reindex alike, with exit code 2', () => {
  const cases: [name: string, configuration: string, lines: string[]][] = [
    [
      'several at once',
      'lisen: 8080\nindex: mysql://cache\nupstreams:\n  - registry: ghcr.io\n    tags: [{match: "*", fresh: soon}]\n',
      [
        'upstreams.yaml:1:1 lisen: ',
        'upstreams.yaml:2:8 index: expected',
        'upstreams.yaml:5:32 upstreams[0].tags[0]',
      ],
    ],
    ['what is no YAML', 'upstreams: [\n', ['upstreams.yaml:2:1 ']],
    [
      'a CA file that is not there',
      'upstreams: [{registry: ghcr.io, ca: "file:ca.pem"}]\n',
      ['upstreams.yaml:1:37 upstreams[0].ca: '],
    ],
    ['an empty file', '', ['upstreams.yaml:1:1 is empty']],
  ]

  test.each(cases)('%s', async (_, configuration, beginnings) => {
    await using at = await home(configuration)
    for (const command of ['serve', 'check', 'reindex']) {
      const { code, complaints } = at.command(command)
      expect([code, complaints.length]).toEqual([2, beginnings.length])
      for (const [number, beginning] of beginnings.entries())
        expect(complaints[number]?.slice(0, beginning.length)).toBe(beginning)
    }
  })

  test('a file that is not there', async () => {
    await using at = await home()
    expect(at.command('serve', '--config', 'other.yaml')).toMatchObject({
      code: 2,
      complaints: ['other.yaml cannot be read: there is no such file'],
    })
  })
})

describe('what keeps serve from starting is told in one line, with exit code 1', () => {
  test('a port that is taken', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    const address = other.address()
    const port = typeof address === 'object' ? address?.port : undefined
    await using at = await home(minimal.replace(':0', `:${port}`))
    expect(at.command('serve')).toMatchObject({
      code: 1,
      complaints: [
        `layover: 127.0.0.1:${port} is in use by another process: change \`listen\` or \`listeners\``,
      ],
    })
    other.close()
  })

  test('a name that has no address', async () => {
    await using at = await home(minimal.replace('127.0.0.1:0', 'nowhere.invalid:8080'))
    const { code, complaints } = at.command('serve')
    expect({ code, complaints }).toEqual({
      code: 1,
      complaints: [
        expect.stringMatching(/^layover: nowhere\.invalid has no address .*change `listen` or `listeners`$/),
      ],
    })
  })

  test('a store where no folder can be', async () => {
    await using at = await home()
    await at.write('data', '')
    const { code, complaints } = at.command('serve')
    expect({ code, complaints }).toEqual({
      code: 1,
      complaints: [expect.stringMatching(/^layover: cannot use the store at .*is in the way$/)],
    })
  })

  test('a store of a later version', async () => {
    await using at = await home()
    await mkdir(at.join('data'))
    await at.write('data/format.json', '{"v":9}')
    const { code, complaints } = at.command('serve')
    expect({ code, complaints }).toEqual({
      code: 1,
      complaints: [expect.stringMatching(/^layover: the store at .* has format 9, this program knows 1: /)],
    })
  })

  test('a store that another process serves', async () => {
    await using at = await home()
    const { daemon } = await at.serve()
    await using _ = daemon
    for (const command of ['serve', 'reindex']) {
      const { code, complaints } = at.command(command)
      expect({ code, complaints }).toEqual({
        code: 1,
        complaints: [expect.stringMatching(/^layover: the store at .* is in use by process \d+ on /)],
      })
    }
  })
})

test('check prints what is in effect and no secret, wherever that comes from', async () => {
  await using at = await home(`upstreams:
  - registry: docker.io
    credentials: {username: acme, password: "\${HUB_PASSWORD}"}
    allow: ["library/**"]
  - {registry: ghcr.io, credentials: {token: file:token}, shareWithEveryone: true}
  - {registry: quay.io, credentials: {username: bob, password: pass-in-file}, shareWithEveryone: true}
  - {registry: gcr.io, proxy: "http://me:pass-of-proxy@proxy.test:3128"}
`)
  await at.write('token', 'token-from-file\n')
  const { code, stdout, complaints } = at.command('check')
  const open =
    /^warning: .*upstreams\[1\]\.credentials\.token: .*token holds a secret and is open to everybody/
  expect({ code, complaints }).toEqual({ code: 0, complaints: [expect.stringMatching(open)] })
  expect(stdout).toMatch(/^listen:/)
  expect(stdout).toContain('username: acme')
  expect(stdout).not.toMatch(/pass-|token-from/)
})

test('the version and the help go to standard output, with exit code 0', async () => {
  await using at = await home()
  expect(at.command('--version')).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+/) })
  expect(at.command('--help')).toMatchObject({ code: 0, stdout: expect.stringContaining('layover serve') })
})

describe('serve', () => {
  test('keeps the configuration in force when the new one is bad, and takes the next good one', async () => {
    await using at = await home()
    const { daemon, url } = await at.serve()
    await using _ = daemon
    const knows = async (registry: string) => {
      const response = await fetch(`${url}/v2/a/blobs/x?ns=${registry}`) // an invalid digest: nobody is asked
      return response.status === 400
    }
    await at.write('next.yaml', 'upstreams: 7\n')
    await rename(at.join('next.yaml'), at.join('upstreams.yaml'))
    daemon.send('SIGHUP')
    await daemon.line(/"line":1,"column":12,.*the old one stays in force/)
    expect(await knows('plain.test')).toBe(true)
    await at.write('next.yaml', minimal.replace('plain.test', 'other.test'))
    await rename(at.join('next.yaml'), at.join('upstreams.yaml'))
    daemon.send('SIGHUP')
    await daemon.line(/configuration reloaded/)
    expect([await knows('plain.test'), await knows('other.test')]).toEqual([false, true])
  })

  test.each(['SIGTERM', 'SIGINT'] as const)('ends with 0 on %s while nothing runs', async signal => {
    await using at = await home()
    const { daemon } = await at.serve()
    daemon.send(signal)
    expect(await daemon.ended).toBe(0)
  })
})

describe('SIGTERM during a download', () => {
  /** The upstream stops in the middle of the blob until it is released. */
  async function downloading() {
    const [blob] = [seededBlob('long', 8 * miB)]
    const net = await startInternet()
    net.plain.put('app', 'v1', artifactOf([blob]))
    const stall = net.fault({ host: 'plain.test', path: /blobs/, kind: 'stall', at: 4 * miB })
    const upstream = net.url('plain.test').replace('plain.test', '127.0.0.1')
    const at = await home(
      `listen: 127.0.0.1:0\nlimits: {drain: 1h}\nupstreams: [{registry: plain.test, url: "${upstream}"}]\n`,
    )
    const { daemon, url } = await at.serve()
    const reader = await openDownload(`${url}/v2/plain.test/app/blobs/${blob.digest}`)
    await stall.reached
    return {
      blob,
      daemon,
      stall,
      reader,
      async [Symbol.asyncDispose]() {
        daemon.send('SIGKILL')
        await daemon.ended
        await net.close()
        await at[Symbol.asyncDispose]()
      },
    }
  }

  test('lets it end, then exits with 0', async () => {
    await using at = await downloading()
    at.daemon.send('SIGTERM')
    await at.daemon.line(/"msg":"stopping"/)
    at.stall.release()
    expectWhole(await at.reader.finish(), at.blob)
    expect(await at.daemon.ended).toBe(0)
  })

  test('given twice cuts it, and nobody takes it for whole', async () => {
    await using at = await downloading()
    at.daemon.send('SIGTERM')
    await at.daemon.line(/"msg":"stopping"/)
    at.daemon.send('SIGTERM')
    const { whole } = await at.reader.finish()
    expect([whole, await at.daemon.ended]).toEqual([false, 1])
  })
})

describe('`layover gc`', () => {
  test('says what would go, and takes it: by itself, or through who serves the store', async () => {
    await using at = await home(
      'listen: 127.0.0.1:0\nstore: {path: ./data, grace: 1ms}\nupstreams: [{registry: plain.test}]\n',
    )
    const hex = 'ab'.repeat(32)
    await mkdir(at.join('data/pushed/sha256/ab'), { recursive: true })
    await mkdir(at.join('data/names/_local/local/app/_blobs'), { recursive: true })
    await writeFile(at.join(`data/pushed/sha256/ab/${hex}`), 'bytes')
    await writeFile(
      at.join(`data/names/_local/local/app/_blobs/sha256-${hex}`),
      '{"v":1,"size":5,"at":1,"source":"push"}',
    )
    const told = [
      `blob local/app sha256:${hex}: no manifest of the repository lists it`,
      `bytes sha256:${hex} 5 B: no repository holds it`,
    ]
    const counted = '0 tags, 0 manifests, 1 blobs of repositories, and 1 files of 5 B'
    const dry = at.command('gc', '--dry-run', '--log-level', 'warn')
    expect(dry).toEqual({
      code: 0,
      stdout: `${[...told, `would delete ${counted}`].join('\n')}\n`,
      complaints: [],
    })
    const { daemon } = await at.serve()
    expect(at.command('gc', '--dry-run')).toEqual(dry)
    const wet = at.command('gc')
    expect(wet).toEqual({ ...dry, stdout: `${[...told, `deleted ${counted}`].join('\n')}\n` })
    await daemon.stop()
    expect(at.command('gc').stdout).toContain('deleted 0 tags, 0 manifests, 0 blobs')
  })
})

describe('`layover scrub` and `layover stats`', () => {
  const hexOf = (text: string) => createHash('sha256').update(text).digest('hex')

  async function store(at: Awaited<ReturnType<typeof home>>) {
    const paths = { cached: '', pushed: '' }
    for (const area of ['cached', 'pushed'] as const) {
      const hex = hexOf(area)
      const folder = at.join(`data/${area}/sha256/${hex.slice(0, 2)}`)
      await mkdir(folder, { recursive: true })
      paths[area] = join(folder, hex)
      await writeFile(paths[area], area)
    }
    await mkdir(at.join('data/names/_local/local/app/_blobs'), { recursive: true })
    await writeFile(
      at.join(`data/names/_local/local/app/_blobs/sha256-${hexOf('pushed')}`),
      '{"v":1,"size":6,"at":1,"source":"push"}',
    )
    return paths
  }

  test('tell what has rotted, and end with 1 while something that was pushed has', async () => {
    await using at = await home()
    expect(at.command('stats')).toMatchObject({
      code: 1,
      complaints: [expect.stringContaining('there is no store')],
    })
    const { cached, pushed } = await store(at)
    expect(at.command('scrub', '--log-level', 'warn')).toEqual({
      code: 0,
      stdout: 'checked 2 files of 12 B\ndeleted 0 damaged cached files and 0 records that nothing needs\n',
      complaints: [],
    })
    for (const path of [cached, pushed]) await writeFile(path, 'rotten')
    const dry = at.command('scrub', '--dry-run', '--log-level', 'silent')
    expect(dry.code).toBe(1)
    expect(dry.stdout).toContain('would delete 1 damaged cached files')
    const wet = at.command('scrub', '--log-level', 'silent')
    expect(wet.code).toBe(1)
    for (const line of [
      `cached sha256:${hexOf('cached')}: it is damaged`,
      `pushed sha256:${hexOf('pushed')}: it is damaged`,
      `record local/app blob sha256:${hexOf('pushed')}: its bytes are not here`,
      '1 pushed files are damaged: push them again',
    ])
      expect(wet.stdout).toContain(line)
    await store(at) // pushed again
    expect(at.command('scrub', '--log-level', 'silent')).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(`quarantine sha256-${hexOf('pushed')}: it is here again`),
    })
  })

  test('go through who serves the store', async () => {
    await using at = await home()
    await store(at)
    const { daemon } = await at.serve()
    await using _ = daemon
    expect(at.command('scrub', '--dry-run')).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('checked 2 files of 12 B'),
    })
    const { code, stdout } = at.command('stats')
    expect(code).toBe(0)
    expect(stdout).toMatch(/^cached +1 +6 B$/m)
    expect(stdout).toMatch(/^_local +1 +0 +0 +1$/m)
    expect(stdout).toContain('scrubbed: never')
    expect(JSON.parse(at.command('stats', '--json').stdout)).toMatchObject({
      areas: { pushed: { files: 1, bytes: 6 } },
      registries: { _local: { repositories: 1 } },
    })
    await daemon.stop()
  })
})
