/** The command as people and supervisors meet it: what it says about mistakes, its exit codes, its signals. */
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, rename, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { seededBlob } from '../fake/bytes.ts'
import { artifactOf } from '../fake/content.ts'
import { startInternet } from '../fake/internet.ts'
import { expectWhole, openDownload } from '../fault/download.ts'
import { tempDir } from '../support/temp-dir.ts'
import { Daemon } from './daemon.ts'

/** Another entry to try the same tests on, e.g. `dist/main.js` after a build. */
const main = resolve(process.env.LAYOVER_MAIN ?? 'src/main.ts')
const startTimeoutMs = 20_000
const miB = 1024 * 1024

const minimal = 'listen: 127.0.0.1:0\nupstreams: [{registry: plain.test}]\n'

/** A folder with a configuration; commands run in it, so that messages hold no path of the machine. */
async function home(configuration = minimal) {
  const dir = await tempDir()
  const write = (name: string, text: string) => writeFile(dir.join(name), text)
  await write('upstreams.yaml', configuration)
  return {
    ...dir,
    write,
    command(...args: string[]) {
      const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
        cwd: dir.path,
        env: { ...process.env, HUB_PASSWORD: 'pass-from-env' },
        encoding: 'utf8',
        timeout: startTimeoutMs,
      })
      return { code: status, stdout, complaints: stderr.split('\n').filter(Boolean) }
    },
    async serve() {
      const daemon = new Daemon(process.execPath, [main, 'serve'], { cwd: dir.path, env: process.env })
      const [, port] = await daemon.line(/"port":(\d+),"msg":"listening"/)
      await daemon.line(/anyone who can connect may pull/) // signals are taken from here on
      return { daemon, url: `http://127.0.0.1:${port}` }
    },
  }
}

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
      'lisen: 8080\nindex: redis://cache\nupstreams:\n  - registry: ghcr.io\n    tags: [{match: "*", fresh: soon}]\n',
      [
        'upstreams.yaml:1:1 lisen: ',
        'upstreams.yaml:2:8 index: not yet',
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
  expect({ code, complaints }).toEqual({ code: 0, complaints: [] })
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
  test('says what would go of a store that nobody serves, takes it, and leaves a served one to who serves it', async () => {
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
      `bytes sha256:${hex} 5B: no repository holds it`,
    ]
    const counted = '0 tags, 0 manifests, 1 blobs of repositories, and 1 files of 5B'
    const dry = at.command('gc', '--dry-run', '--log-level', 'warn')
    expect(dry).toEqual({
      code: 0,
      stdout: `${[...told, `would delete ${counted}`].join('\n')}\n`,
      complaints: [],
    })
    const { daemon } = await at.serve()
    const refused = at.command('gc')
    expect(refused).toMatchObject({
      code: 1,
      complaints: [expect.stringMatching(/in use by process \d+ .*collectEvery/)],
    })
    await daemon.stop()
    const wet = at.command('gc', '--log-level', 'warn')
    expect(wet).toEqual({ ...dry, stdout: `${[...told, `deleted ${counted}`].join('\n')}\n` })
    expect(at.command('gc').stdout).toContain('deleted 0 tags, 0 manifests, 0 blobs')
  })
})
