/** What commands say of a store over a bucket. */
import { writeFile } from 'node:fs/promises'
import { describe, expect, test, vi } from 'vitest'
import { stringify } from 'yaml'
import { runBackup } from '../../../src/cli/commands/backup.ts'
import { runCheck } from '../../../src/cli/commands/check.ts'
import { runGc } from '../../../src/cli/commands/gc.ts'
import { runReindex } from '../../../src/cli/commands/reindex.ts'
import { hasS3, type S3Service, startS3 } from '../../support/s3.ts'
import { tempDir } from '../../support/temp-dir.ts'

async function commandScene(setting: (service: S3Service) => object, more: object = {}) {
  const service = await startS3()
  const dir = await tempDir()
  const path = dir.join('upstreams.yaml')
  const { bucket, endpoint } = service.options()
  const s3 = {
    bucket,
    endpoint,
    accessKeyId: 'layover',
    secretAccessKey: 'layover-secret',
    ...setting(service),
  }
  await writeFile(path, stringify({ store: { s3 }, upstreams: [{ registry: 'ghcr.io' }], ...more }))
  const said = { out: '', err: '' }
  const to = (name: 'out' | 'err') => ({
    write(text: string) {
      said[name] += text
      return true
    },
  })
  return {
    path,
    check: async () => ({ code: await runCheck(path, to('out'), to('err')), ...said }),
    async [Symbol.asyncDispose]() {
      await dir[Symbol.asyncDispose]()
      await service[Symbol.asyncDispose]()
    },
  }
}

describe.runIf(hasS3)('layover check', () => {
  test('says that the bucket works, and whether it takes conditional writes', async () => {
    await using at = await commandScene(() => ({ prefix: 'team' }))
    const { code, out, err } = await at.check()
    expect([code, err]).toEqual([0, ''])
    expect(out).toContain('# s3://layover/team: can be read and written, and takes conditional writes')
    expect(out).not.toContain('layover-secret')
  })

  test.each<[string, (service: S3Service) => object, RegExp]>([
    [
      'wrong credentials',
      () => ({ secretAccessKey: 'wrong' }),
      /SignatureDoesNotMatch.*store\.s3\.accessKeyId/s,
    ],
    ['a bucket that is not there', () => ({ bucket: 'nothing' }), /NoSuchBucket.*store\.s3\.bucket/s],
    ['nobody there', () => ({ endpoint: 'http://127.0.0.1:1' }), /ECONNREFUSED.*store\.s3\.endpoint/s],
  ])('says what is wrong: %s', async (_, setting, message) => {
    await using at = await commandScene(setting)
    const { code, err } = await at.check()
    expect(code).toBe(1)
    expect(err).toMatch(message)
    expect(err).not.toContain('layover-secret')
  })
})

test.runIf(hasS3).each<[string, (service: S3Service) => string | undefined, number, RegExp]>([
  ['right', () => undefined, 0, /^# redirects: http:\/\/127.0.0.1:\d+ gives an object/m],
  [
    'somewhere else',
    ({ port }) => `http://127.0.0.1:${port}/elsewhere`,
    1,
    /^layover: redirects: http:\/\/127.0.0.1:\d+ answers 40\d and not the object/m,
  ],
  [
    'where nobody is',
    () => 'http://127.0.0.1:1',
    0,
    /^warning: redirects: http:\/\/127.0.0.1:1 cannot be reached from here \(ECONNREFUSED\)/m,
  ],
])(
  'layover check says of the address that clients are sent to that it is %s',
  async (_, endpoint, exit, line) => {
    await using at = await commandScene(service => {
      const given = endpoint(service)
      return { redirect: given === undefined ? true : { endpoint: given } }
    })
    const { code, out, err } = await at.check()
    expect(`${out}${err}`).toMatch(line)
    expect(`${out}${err}`).not.toContain('Signature')
    expect(code).toBe(exit)
  },
)

test.runIf(hasS3)('layover reindex and layover gc work with the bucket', async () => {
  await using at = await commandScene(() => ({}))
  const told = vi.spyOn(process.stdout, 'write').mockReturnValue(true)
  try {
    expect(await runReindex(at.path, 'silent')).toBe(0)
    expect(await runGc(at.path, { logLevel: 'silent', dryRun: false })).toBe(0)
    expect(told).toHaveBeenCalledWith(expect.stringContaining('deleted 0 tags'))
  } finally {
    told.mockRestore()
  }
})

test.runIf(hasS3)(
  'layover gc leaves a bucket that replicas share to the one of them that takes pushes',
  async () => {
    const replica = { advertise: 'http://127.0.0.1:9', secret: 'known to all replicas of this test' }
    await using at = await commandScene(() => ({}), { replica })
    const told = vi.spyOn(process.stdout, 'write').mockReturnValue(true)
    const failed = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
    try {
      expect(await runGc(at.path, { logLevel: 'silent', dryRun: false })).toBe(1)
      expect(failed).toHaveBeenCalledWith(expect.stringContaining('replicas share the bucket layover'))
      expect(await runGc(at.path, { logLevel: 'silent', dryRun: true })).toBe(0)
      expect(told).toHaveBeenCalledWith(expect.stringContaining('would delete 0 tags'))
    } finally {
      told.mockRestore()
      failed.mockRestore()
    }
  },
)

test.runIf(hasS3)('layover backup leaves a bucket to those who run it', async () => {
  await using at = await commandScene(() => ({}))
  const told = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
  try {
    const code = await runBackup(at.path, { folder: 'backup', verify: false, logLevel: 'silent' })
    expect(code).toBe(1)
    expect(told).toHaveBeenCalledWith(expect.stringContaining('lies in the bucket layover'))
  } finally {
    told.mockRestore()
  }
})
