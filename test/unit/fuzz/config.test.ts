/** Whatever stands in files that people write: a configuration, or an error that says where the mistake is. */
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: that is how the configuration refers to the environment
import { writeFile } from 'node:fs/promises'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  FormInvalid,
  parseCidr,
  parseHost,
  parseListen,
  parseProxyUrl,
  parsePublicUrl,
  parseRegistryUrl,
} from '../../../src/config/address-forms.ts'
import { loadConfig } from '../../../src/config/load.ts'
import {
  parseCertificates,
  parseLocalPattern,
  parseNamespaceName,
  parsePassword,
  parseRepositoryPattern,
  parseTagPattern,
  parseToken,
  parseUserAndPassword,
  parseUsername,
} from '../../../src/config/name-forms.ts'
import { ConfigError } from '../../../src/config/problem.ts'
import { formatDuration, formatSize, parseDuration, parseSize } from '../../../src/config/quantity.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import {
  DockerConfigCredentials,
  DockerConfigUnreadable,
} from '../../../src/upstream/credentials/docker-config.ts'
import { CredentialHelperFailed } from '../../../src/upstream/credentials/helper.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { megabytes, often, patient, throwsOnly } from './fuzz.ts'

const forms = [
  parseCidr,
  parseHost,
  parseListen,
  parseProxyUrl,
  parsePublicUrl,
  parseRegistryUrl,
  parseCertificates,
  parseLocalPattern,
  parseNamespaceName,
  parsePassword,
  parseRepositoryPattern,
  parseTagPattern,
  parseToken,
  parseUserAndPassword,
  parseUsername,
]

describe('values', () => {
  test(
    'of a megabyte are of their form or not',
    () => {
      for (const text of megabytes) {
        for (const form of forms) throwsOnly(FormInvalid, () => form(text))
        throwsOnly(FormInvalid, () => parseRegistryUrl(`http://a/${text}`))
        for (const value of [parseDuration(text), parseSize(text)]) expect(value ?? 0).toBe(0)
      }
    },
    patient,
  )

  test('durations and sizes come out as they were put in', () => {
    const amount = fc.maxSafeNat()
    fc.assert(
      fc.property(amount, n => {
        expect([parseDuration(formatDuration(n)), parseSize(formatSize(n))]).toEqual([n, n])
      }),
      often,
    )
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'0159.-+ eKMGTiBmshd'.split('')) }), text => {
        for (const value of [parseDuration(text), parseSize(text)])
          expect(value === undefined || (Number.isSafeInteger(value) && value >= 0)).toBe(true)
      }),
      often,
    )
  })
})

const deep = (depth: number, open: string, close: string) => open.repeat(depth) + close.repeat(depth)
const lines = (count: number, line: (nth: number) => string) =>
  Array.from({ length: count }, (_, nth) => line(nth)).join('\n')

/** Each is a problem, or a configuration. */
async function tries(texts: Iterable<string>): Promise<ConfigError[]> {
  await using dir = await tempDir()
  const path = dir.join('upstreams.yaml')
  const errors: ConfigError[] = []
  for (const text of texts) {
    await writeFile(path, text)
    const error = await loadConfig(path, {}).then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    if (error === undefined) continue
    if (!(error instanceof ConfigError))
      throw new Error(`for ${JSON.stringify(text.slice(0, 200))}`, { cause: error })
    expect(error.problems.length).toBeGreaterThan(0)
    errors.push(error)
  }
  return errors
}

describe('upstreams.yaml', () => {
  test(
    'of very much of anything is loaded or refused',
    async () => {
      await tries(megabytes.map(text => text.slice(0, 32 * 1024))) // the parser of YAML is linear, and slow
    },
    patient,
  )

  test(
    'nested however deeply is loaded or refused',
    async () => {
      const depths = [...Array.from({ length: 16 }, (_, nth) => 400 + nth * 75), 10_000]
      const texts = depths.flatMap(depth => [
        `upstreams: ${deep(depth, '[', ']')}`,
        `upstreams: ${deep(depth, '{a: ', '}')}`,
        `${'- '.repeat(depth)}a`,
      ])
      const errors = await tries(texts)
      expect(errors).toHaveLength(texts.length)
      expect(errors.at(-1)?.message).toContain('nested more deeply')
    },
    patient,
  )

  test(
    'with too much of something is refused',
    async () => {
      const errors = await tries([
        lines(8_000, nth => `k${nth}: 1`),
        `upstreams:\n${lines(8_000, nth => `- ${nth}`)}`,
        `a: &x 1\nb:\n${lines(8_000, () => '- *x')}`,
        `a: &a [x,x]\n${lines(60, nth => `b${nth}: &b${nth} [${nth === 0 ? '*a,*a' : `*b${nth - 1},*b${nth - 1}`}]`)}`,
        'upstreams: &x [*x]',
        'a: &x {b: *x}',
        `upstreams: [{registry: ${'/'.repeat(500_000)}}]`,
        `upstreams: [{registry: a.test, url: "${'//'.repeat(250_000)}"}]`,
      ])
      expect(errors).toHaveLength(8)
    },
    patient,
  )

  test(
    'made of such pieces is loaded or refused',
    async () => {
      const piece = fc.constantFrom(
        'upstreams:',
        '- ',
        '\n',
        '\n  ',
        '\n    ',
        'registry: ',
        'ghcr.io',
        'a.test',
        'url: ',
        'https://u:p@x',
        '{',
        '}',
        '[',
        ']',
        ',',
        ': ',
        '&a ',
        '*a',
        '!!binary ',
        '!x ',
        '"',
        "'",
        '|\n',
        '>',
        '#',
        '%',
        '---',
        '...',
        '? ',
        '<<: ',
        'local:',
        'match: ',
        'local/**',
        'limits:',
        'manifest: ',
        '4MiB',
        '1e999',
        '.nan',
        '0x10',
        'true',
        'null',
        '~',
        '${X}',
        '${',
        'file:',
        'file:/',
        '\t',
        '\0',
        '\ufeff',
        'é',
        'tags:',
        'credentials:',
        'token: ',
        'docker: ',
        '__proto__: ',
      )
      await fc.assert(
        fc.asyncProperty(
          fc.array(piece, { maxLength: 30 }),
          async pieces =>
            void (await tries([pieces.join(''), `upstreams:\n  - registry: a.test\n    ${pieces.join('')}`])),
        ),
        often,
      )
    },
    patient,
  )
})

describe('a Docker config', () => {
  const keys = fc.constantFrom(
    'auths',
    'credHelpers',
    'credsStore',
    'hub.test',
    'https://hub.test/v1/',
    'auth',
    'username',
    'password',
    'identitytoken',
    'registrytoken',
    '__proto__',
  )
  const values = fc.letrec(tie => ({
    any: fc.oneof(
      { depthSize: 'small' },
      fc.constantFrom<unknown>(
        '',
        'x',
        'a b',
        'a\nb',
        '../x',
        1,
        null,
        [],
        Buffer.from('u:p\0').toString('base64'),
      ),
      tie('object'),
    ),
    object: fc.dictionary(keys, tie('any')),
  }))
  const texts = fc.oneof(
    fc.json(),
    fc.string(),
    values.object.map(value => JSON.stringify(value)),
    fc.constant(deep(50_000, '[', ']')),
  )

  test.each([
    'a\nb',
    'a b',
    'é',
    '',
  ])('with the token %j, which no header can carry, gives none', async registrytoken => {
    await using dir = await tempDir()
    await writeFile(dir.join('config.json'), JSON.stringify({ auths: { 'hub.test': { registrytoken } } }))
    const credentials = new DockerConfigCredentials(dir.join('config.json'), 'hub.test', systemClock)
    expect(await credentials.get('team/app')).toBeUndefined()
  })

  test('of any content gives a credential that can be sent, none, or an error that says why', async () => {
    await using dir = await tempDir()
    const path = dir.join('config.json')
    await fc.assert(
      fc.asyncProperty(texts, async text => {
        await writeFile(path, text)
        try {
          const credential = await new DockerConfigCredentials(path, 'hub.test', systemClock).get('team/app')
          if (credential?.kind === 'bearer') expect(credential.token).toMatch(/^[\x21-\x7e]+$/)
        } catch (error) {
          expect(error).toSatisfy(
            thrown => thrown instanceof DockerConfigUnreadable || thrown instanceof CredentialHelperFailed,
          )
        }
      }),
      often,
    )
  })
})
