/** Keys are got once for all who wait, renewed, and used on while their issuer is out. */
import { describe, expect, test, vi } from 'vitest'
import { Issuers } from '../../../../src/access/oidc/issuers.ts'
import { createLogger } from '../../../../src/observe/log.ts'
import { loopbackCertificate } from '../../../fake/certificates.ts'
import { createSigningKey } from '../../../support/issuer.ts'
import { entryOf, failure, type Rig, refusal, startRig, unavailability } from './rig.ts'

const minuteMs = 60_000
const log = createLogger('silent')

async function login({ issuers, issuer }: Rig): Promise<string> {
  return (await issuers.verify(await issuer.token())).caller.user
}

/** So that a fetch beside the logins has ended. */
async function untilAsked({ issuer }: Rig, times: number): Promise<void> {
  await vi.waitFor(() => expect(issuer.asked.keys).toBe(times), { timeout: 5_000 })
}

describe('keys', () => {
  test('are asked for at the first login, once for all who come meanwhile', async () => {
    await using rig = await startRig()
    expect(rig.issuer.asked).toEqual({ discovery: 0, keys: 0 })
    const tokens = await Promise.all(Array.from({ length: 20 }, () => rig.issuer.token()))
    await Promise.all(tokens.map(token => rig.issuers.verify(token)))
    expect(rig.issuer.asked).toEqual({ discovery: 1, keys: 1 })
  })

  test('are renewed beside the logins after ten minutes', async () => {
    await using rig = await startRig()
    await login(rig)
    rig.clock.advance(10 * minuteMs)
    await login(rig)
    expect(rig.issuer.asked.keys).toBe(1)
    rig.clock.advance(1)
    await login(rig)
    await untilAsked(rig, 2)
  })

  test('that were withdrawn while nobody logged in count no more', async () => {
    await using rig = await startRig()
    await login(rig)
    const [withdrawn] = rig.issuer.keys
    await rig.issuer.rotate()
    rig.clock.advance(31 * minuteMs)
    const token = await rig.issuer.token({}, withdrawn ? { key: withdrawn } : {})
    expect(await refusal(rig.issuers.verify(token))).toContain('no applicable key')
  })

  test('that are new are asked for once, for all who come with them', async () => {
    await using rig = await startRig()
    await login(rig)
    await rig.issuer.rotate()
    const tokens = await Promise.all(Array.from({ length: 50 }, () => rig.issuer.token()))
    const logins = await Promise.all(tokens.map(token => rig.issuers.verify(token)))
    expect(logins).toHaveLength(50)
    expect(rig.issuer.asked).toEqual({ discovery: 2, keys: 2 })
  })

  test('that are new are found though an older fetch is under way', async () => {
    await using rig = await startRig()
    await login(rig)
    rig.clock.advance(11 * minuteMs)
    const old = rig.issuer.keySet()
    const next = await rig.issuer.rotate()
    const answers = [old]
    rig.issuer.lies = {
      get keys() {
        return { body: answers.pop() ?? rig.issuer.keySet() }
      },
    }
    const token = await rig.issuer.token({}, { key: next }) // its login begins the renewal, which brings the old ones
    await expect(rig.issuers.verify(token)).resolves.toBeDefined()
    expect(rig.issuer.asked.keys).toBe(3)
  })

  test('without a kid are renewed too when a signature fits none', async () => {
    await using rig = await startRig()
    await login(rig)
    await rig.issuer.rotate()
    const token = await rig.issuer.token({}, { header: { kid: undefined } })
    await expect(rig.issuers.verify(token)).resolves.toBeDefined()
  })

  test('that nobody has are asked for once a minute, however many names are made up', async () => {
    await using rig = await startRig()
    await login(rig)
    const storm = async () => {
      for (let at = 0; at < 20; at += 1) {
        const token = await rig.issuer.token({}, { header: { kid: `made-up-${at}` } })
        await refusal(rig.issuers.verify(token))
      }
    }
    await storm()
    expect(rig.issuer.asked.keys).toBe(2)
    rig.clock.advance(minuteMs - 1)
    await storm()
    expect(rig.issuer.asked.keys).toBe(2)
    rig.clock.advance(1)
    await storm()
    expect(rig.issuer.asked.keys).toBe(3)
    await login(rig)
  })

  test('of the configuration are all that there are', async () => {
    await using rig = await startRig()
    const { issuer, clock } = rig
    const issuers = new Issuers([entryOf(issuer, { jwks: issuer.keySet() })], { clock, log })
    await issuer.rotate()
    expect(await refusal(issuers.verify(await issuer.token()))).toContain('no applicable key')
    expect(issuer.asked.keys).toBe(0)
  })
})

describe('an issuer that is out', () => {
  test('after its keys were got: they are used on for a day, and the log says so once a minute', async () => {
    await using rig = await startRig()
    await login(rig)
    rig.issuer.isOut = true
    rig.clock.advance(11 * minuteMs)
    await login(rig)
    await vi.waitFor(() => expect(rig.lines).toHaveLength(1), { timeout: 5_000 })
    expect(rig.lines[0]).toContain('answered 503')
    await login(rig)
    rig.clock.advance(31 * minuteMs)
    await login(rig)
    await vi.waitFor(() => expect(rig.lines).toHaveLength(2), { timeout: 5_000 })
    rig.clock.advance(1440 * minuteMs)
    expect(await unavailability(login(rig))).toContain('answered 503')
    rig.issuer.isOut = false
    rig.clock.advance(minuteMs)
    await login(rig)
    expect(rig.lines.at(-1)).toContain('are got again')
  })

  test('and a key that is unknown: nobody can tell, so that it is no refusal', async () => {
    await using rig = await startRig()
    await login(rig)
    rig.issuer.isOut = true
    await rig.issuer.rotate()
    await unavailability(login(rig))
    await unavailability(login(rig))
    expect(rig.issuer.asked).toEqual({ discovery: 2, keys: 1 })
    rig.issuer.isOut = false
    rig.clock.advance(minuteMs)
    await login(rig)
  })

  test('from the start: no login, and it is asked again after five seconds only', async () => {
    await using rig = await startRig()
    rig.issuer.isOut = true
    for (let at = 0; at < 20; at += 1) await unavailability(login(rig))
    expect(rig.issuer.asked.discovery).toBe(1)
    rig.clock.advance(5_000)
    await unavailability(login(rig))
    expect(rig.issuer.asked.discovery).toBe(2)
    expect(rig.lines).toHaveLength(1)
    rig.issuer.isOut = false
    rig.clock.advance(5_000)
    await login(rig)
  })

  test('and refuses connections: the same', async () => {
    await using rig = await startRig()
    const token = await rig.issuer.token()
    await rig.issuer[Symbol.asyncDispose]()
    expect(await unavailability(rig.issuers.verify(token))).toContain('ECONNREFUSED')
  })

  test('and shows a certificate that nobody trusts: the same', async () => {
    await using rig = await startRig({}, { tls: loopbackCertificate })
    expect(await unavailability(login(rig))).toContain('DEPTH_ZERO_SELF_SIGNED_CERT')
    expect(rig.issuer.asked.discovery).toBe(0)
  })

  test('or takes requests and never answers: a login waits five seconds', async () => {
    await using rig = await startRig()
    rig.issuer.isStalled = true
    const waiting = failure(login(rig))
    await vi.waitFor(() => expect(rig.issuer.asked.discovery).toBe(1), { timeout: 5_000 })
    rig.clock.advance(5_000)
    expect((await waiting).message).toContain('no answer within 5 s')
    expect((await waiting).name).toBe('LoginUnavailable')
  })

  test('and stalls after its keys were got: no login waits', async () => {
    await using rig = await startRig()
    await login(rig)
    rig.issuer.isStalled = true
    rig.clock.advance(11 * minuteMs)
    await login(rig)
    await login(rig)
  })

  test('while the configuration is taken up anew: its keys are used on', async () => {
    await using rig = await startRig()
    await login(rig)
    rig.issuer.isOut = true
    const { issuers: before, issuer, clock } = rig
    const issuers = new Issuers([entryOf(issuer, { name: 'renamed' })], { clock, log, before })
    await before.close()
    expect((await issuers.verify(await issuer.token())).caller.provider).toBe('renamed')
    await issuers.close()
  })

  test('ends with the program, and whoever waits for it too', async () => {
    await using rig = await startRig()
    rig.issuer.isStalled = true
    const waiting = failure(login(rig))
    await vi.waitFor(() => expect(rig.issuer.asked.discovery).toBe(1), { timeout: 5_000 })
    await rig.issuers.close()
    expect((await waiting).name).toBe('LoginUnavailable')
    expect(rig.lines).toEqual([])
  })
})

describe('an issuer that lies', () => {
  const keysElsewhere = (jwks_uri: unknown) => (rig: Rig) => {
    rig.issuer.lies = { discovery: { body: { issuer: rig.issuer.url, jwks_uri } } }
  }
  test.each<[string, (rig: Rig) => void, string]>([
    [
      'is another one',
      ({ issuer }) => {
        issuer.lies = { discovery: { body: { issuer: 'https://evil.test', jwks_uri: issuer.keysUrl } } }
      },
      'is the configuration of another issuer',
    ],
    [
      'is itself but for a slash',
      ({ issuer }) => {
        issuer.lies = { discovery: { body: { issuer: `${issuer.url}/`, jwks_uri: issuer.keysUrl } } }
      },
      'is the configuration of another issuer',
    ],
    ['has no keys', keysElsewhere(undefined), 'is no OpenID configuration'],
    ['has its keys in a file', keysElsewhere('file:///etc/passwd'), 'a jwks_uri that is no https URL'],
    [
      'has its keys at a host without TLS',
      keysElsewhere('http://evil.test/'),
      'a jwks_uri that is no https URL',
    ],
    [
      'has its keys at a metadata service',
      keysElsewhere('https://169.254.169.254/'),
      'is a link-local or metadata',
    ],
    [
      'redirects',
      ({ issuer }) => {
        issuer.lies = { discovery: { status: 302, headers: { location: issuer.keysUrl } } }
      },
      'answered 302, and redirects are not followed',
    ],
    [
      'sends a page',
      ({ issuer }) => {
        issuer.lies = { discovery: { body: '<html>' } }
      },
      'is no OpenID configuration',
    ],
    [
      'sends more than anybody needs',
      ({ issuer }) => {
        issuer.lies = { keys: { body: 'x'.repeat(300_000) } }
      },
      'the answer has more than 262144 bytes',
    ],
    [
      'sends more, without saying how much',
      ({ issuer }) => {
        issuer.lies = { keys: { headers: { 'transfer-encoding': 'chunked' }, body: 'x'.repeat(300_000) } }
      },
      'the answer has more than 262144 bytes',
    ],
    [
      'sends no key set',
      ({ issuer }) => {
        issuer.lies = { keys: { body: { keys: 'all' } } }
      },
      'a JSON Web Key Set',
    ],
    [
      'sends only a shared key',
      ({ issuer }) => {
        issuer.lies = { keys: { body: { keys: [{ kty: 'oct', k: 'AAAA' }] } } }
      },
      'at least one public key',
    ],
  ])('%s: no login', async (_, lie, reason) => {
    await using rig = await startRig()
    lie(rig)
    expect(await unavailability(login(rig))).toContain(reason)
    expect(rig.lines.join('')).toContain(reason)
  })

  test('about its keys does not lose those that were right', async () => {
    await using rig = await startRig()
    await login(rig)
    rig.issuer.lies = { keys: { body: { keys: [] } } }
    rig.clock.advance(11 * minuteMs)
    await login(rig)
    await vi.waitFor(() => expect(rig.lines).toHaveLength(1), { timeout: 5_000 })
    await login(rig)
  })

  test('of one key that is broken keeps the others', async () => {
    await using rig = await startRig()
    const { jwk } = await createSigningKey()
    const broken = [{ kty: 'XYZ' }, { kty: 'RSA', n: 'AQAB', e: 'AQAB', kid: 'x' }, { ...jwk, x: 'AA' }]
    rig.issuer.lies = { keys: { body: { keys: [...broken, rig.issuer.keys[0]?.jwk] } } }
    await login(rig)
  })
})
