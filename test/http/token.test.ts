/** The token endpoint, with what clients send to it. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { decodeJwt } from 'jose'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { anonymous, type Caller, LoginRefused, LoginUnavailable } from '../../src/access/caller.ts'
import { keysFromSeed } from '../../src/access/tokens/keys.ts'
import { Tokens } from '../../src/access/tokens/tokens.ts'
import { watch } from '../../src/edge/access-log.ts'
import { openExchange } from '../../src/edge/exchange.ts'
import { realmOf } from '../../src/edge/gate/realm.ts'
import { answerToken, type TokenDeps } from '../../src/edge/gate/token.ts'
import { createResponder } from '../../src/edge/respond.ts'
import { createLogger } from '../../src/observe/log.ts'
import { RegistryError } from '../../src/oci/errors.ts'
import { FakeClock } from '../fake/clock.ts'
import { type Answered, ask, errorOf } from './scene.ts'

const alice: Caller = { ...anonymous, method: 'password', user: 'alice' }
const workflow: Caller = {
  ...anonymous,
  method: 'oidc',
  user: 'org/app',
  provider: 'github',
  claims: { a: 1 },
}
const password = 'pa:ss wörd%&='
/** As long as the longest that providers make. */
const oidcToken = `ey${'x'.repeat(9000)}`

interface Body {
  token: string
  access_token: string
  scope: string
  expires_in: number
  issued_at: string
  refresh_token?: string
}

async function start() {
  const clock = new FakeClock()
  const keys = await keysFromSeed(Buffer.alloc(32, 7))
  const hashes = new Map([['alice', 'stored']])
  const tokens = new Tokens({
    keys: () => keys,
    lives: () => ({ lifeMs: 300_000, refreshMs: 86_400_000 }),
    hashOf: user => hashes.get(user),
    termsOf: () => 'as configured',
    clock,
  })
  const login: TokenDeps['login'] = async shown => {
    if (!shown) return { caller: anonymous }
    if (shown.user === 'alice' && shown.password === password) return { caller: alice }
    if (shown.user === 'github' && shown.password === oidcToken)
      return { caller: workflow, until: clock.now() + 120_000 }
    if (shown.user === 'down') throw new LoginUnavailable('the issuer does not answer')
    if (shown.user === 'many') throw new RegistryError('TOOMANYREQUESTS', 'too many wrong passwords')
    throw new LoginRefused('wrong password', { user: shown.user })
  }
  /** Anonymous callers pull from `public`, others do everything with `team/app`. */
  const grants: TokenDeps['grants'] = async ({ user }, scopes) =>
    scopes.flatMap(({ type, name, actions }) => {
      if (name === 'public') return [{ type, name, actions: actions.filter(action => action === 'pull') }]
      return user !== '' && name === 'team/app' ? [{ type, name, actions }] : []
    })
  const service = (exchange: Parameters<typeof realmOf>[0]) =>
    realmOf(exchange, { publicUrl: undefined }).service
  const lines: Record<string, unknown>[] = []
  const log = createLogger('trace', {
    write: line => void lines.push(JSON.parse(line) as Record<string, unknown>),
  })
  const witness = { log, lines: log, metrics: {} }
  const responder = createResponder({ draining: () => false, stalledMs: () => 60_000 })
  const server = createServer((request, response) => {
    const exchange = openExchange(request, response)
    watch(exchange, witness as unknown as Parameters<typeof watch>[1])
    void responder.respond(exchange, answerToken(exchange, { tokens, login, grants, service }))
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(() => void server.close())
  const { port } = server.address() as AddressInfo
  const url = `http://127.0.0.1:${port}`
  const host = `127.0.0.1:${port}`
  return {
    clock,
    hashes,
    tokens,
    lines,
    port,
    host,
    get: (query: string, headers: Record<string, string> = {}, method = 'GET') =>
      ask(url, `/token${query === '' ? '' : `?${query}`}`, { headers, method }),
    post: (form: string | Record<string, string> | [string, string][], type = formType) => {
      const body = Buffer.from(typeof form === 'string' ? form : new URLSearchParams(form).toString())
      const headers = { 'content-type': type, 'content-length': String(body.length) }
      return ask(url, '/token', { method: 'POST', headers, body })
    },
  }
}

const formType = 'application/x-www-form-urlencoded'

function basic(user: string, secret: string): Record<string, string> {
  return { authorization: `Basic ${Buffer.from(`${user}:${secret}`).toString('base64')}` }
}

/** Of a token that was given. */
function bodyOf({ status, headers, body }: Answered): Body {
  expect([status, headers['content-type'], headers['cache-control']]).toEqual([
    200,
    'application/json',
    'no-store',
  ])
  const given = JSON.parse(body.toString()) as Body
  expect(given.access_token).toBe(given.token)
  expect(given.expires_in).toBeGreaterThanOrEqual(60)
  expect(given.issued_at).toBe('2026-01-01T00:00:00.000Z')
  return given
}

function refused(answer: Answered, status: number, code: string): void {
  expect(answer.status).toBe(status)
  expect(answer.headers['cache-control']).toBe('no-store')
  expect(errorOf(answer).code).toBe(code)
}

describe('a token is given by GET', () => {
  test('to nobody in particular, for what anyone may do', async () => {
    const { get, host, tokens } = await start()
    const given = bodyOf(
      await get(
        `service=${host}&scope=repository%3Apublic%3Apull%2Cpush&scope=repository%3Ateam%2Fapp%3Apull`,
      ),
    )
    expect(given).not.toHaveProperty('refresh_token')
    expect(given.scope).toBe('repository:public:pull')
    expect(await tokens.verify(given.token, host)).toMatchObject({
      caller: anonymous,
      access: [{ type: 'repository', name: 'public', actions: ['pull'] }],
    })
  })

  test('for nothing at all, which is no error', async () => {
    const { get } = await start()
    expect(bodyOf(await get('')).scope).toBe('')
    expect(bodyOf(await get('scope=repository:secret:pull')).scope).toBe('')
    expect(bodyOf(await get('scope=nonsense&service=')).scope).toBe('')
  })

  test('to `docker login`, with a refresh token', async () => {
    const { get, host, tokens } = await start()
    const query = `account=alice&client_id=docker&offline_token=true&service=${encodeURIComponent(host)}`
    const { token, refresh_token: refresh = '' } = bodyOf(await get(query, basic('alice', password)))
    expect(await tokens.verify(token, host)).toMatchObject({ caller: alice, access: [] })
    expect(await tokens.verifyRefresh(refresh, host)).toMatchObject({ caller: alice })
  })

  test('to podman and skopeo, which want no refresh token', async () => {
    const { get, host } = await start()
    const scopes = 'scope=repository%3Apublic%3Apull&scope=repository%3Ateam%2Fapp%3Apull%2Cpush'
    const given = bodyOf(await get(`account=alice&${scopes}&service=${host}`, basic('alice', password)))
    expect(given.scope).toBe('repository:public:pull repository:team/app:pull,push')
    expect(given).not.toHaveProperty('refresh_token')
  })

  test('to crane and oras, with scopes in one parameter too', async () => {
    const { get, host } = await start()
    const scopes = 'scope=repository%3Ateam%2Fapp%3Apush%2Cpull+repository%3Apublic%3Apull'
    const given = bodyOf(await get(`${scopes}&service=${host}`, basic('alice', password)))
    expect(given.scope).toBe('repository:public:pull repository:team/app:pull,push')
  })

  test('to who shows an OIDC token as a password, no longer than that lives and without a refresh token', async () => {
    const { get, host } = await start()
    const given = bodyOf(await get(`offline_token=true&service=${host}`, basic('github', oidcToken)))
    expect(given.expires_in).toBe(120)
    expect(given).not.toHaveProperty('refresh_token')
    expect(decodeJwt(given.token).sub).toBe('github:org/app')
  })

  test.each([
    '',
    '<token>',
    '00000000-0000-0000-0000-000000000000',
  ])('to who shows a refresh token as the password of %j', async user => {
    const { get, host, tokens } = await start()
    const refresh = (await tokens.issueRefresh({ caller: alice, audience: host })) ?? ''
    const given = bodyOf(await get('scope=repository:team/app:pull', basic(user, refresh)))
    expect(given.scope).toBe('repository:team/app:pull')
    expect(given).not.toHaveProperty('refresh_token')
  })
})

describe('a token is given by POST', () => {
  test('to containerd', async () => {
    const { post, host, tokens } = await start()
    const form = {
      client_id: 'containerd-client',
      grant_type: 'password',
      password,
      scope: 'repository:team/app:pull repository:public:pull,push',
      service: host,
      username: 'alice',
    }
    const given = bodyOf(await post(form, `${formType}; charset=utf-8`))
    expect(given.scope).toBe('repository:public:pull repository:team/app:pull')
    expect(given).not.toHaveProperty('refresh_token')
    expect(await tokens.verify(given.token, host)).toMatchObject({ caller: alice })
    const offline = bodyOf(await post({ ...form, access_type: 'offline' }))
    expect(await tokens.verifyRefresh(offline.refresh_token ?? '', host)).toMatchObject({ caller: alice })
  })

  test('to docker, crane, oras and regctl for their refresh token, and to podman with scopes apart', async () => {
    const { post, host, tokens } = await start()
    const refresh = (await tokens.issueRefresh({ caller: alice, audience: host })) ?? ''
    const form = { grant_type: 'refresh_token', refresh_token: refresh, service: host, client_id: 'docker' }
    const scope = 'repository:team/app:pull repository:public:pull'
    expect(bodyOf(await post({ ...form, scope }))).toMatchObject({
      scope: 'repository:public:pull repository:team/app:pull',
    })
    const apart: [string, string][] = scope.split(' ').map(each => ['scope', each])
    const given = bodyOf(await post([...Object.entries(form), ...apart]))
    expect(given.scope).toBe('repository:public:pull repository:team/app:pull')
    expect(given).not.toHaveProperty('refresh_token')
    expect(bodyOf(await post({ ...form, access_type: 'offline' })).refresh_token).toBe(refresh)
  })

  test('for an OIDC token as the password', async () => {
    const { post } = await start()
    const form = { grant_type: 'password', username: 'github', password: oidcToken, access_type: 'offline' }
    expect(bodyOf(await post(form))).toMatchObject({ expires_in: 120 })
  })
})

describe('no token is given', () => {
  const form = { grant_type: 'password', username: 'alice', password }

  test('for a wrong credential of any form, so that `docker login` says so', async () => {
    const { get, post, host, tokens, hashes } = await start()
    const { token } = await tokens.issue({ caller: alice, audience: host, access: [] })
    const refresh = (await tokens.issueRefresh({ caller: alice, audience: host })) ?? ''
    const elsewhere = (await tokens.issueRefresh({ caller: alice, audience: 'other' })) ?? ''
    const answers = [
      await get('', basic('alice', 'wrong')),
      await get('', { authorization: 'Basic' }),
      await get('', { authorization: 'Basic %%%' }),
      await get('', { authorization: `Basic ${Buffer.from('alice').toString('base64')}` }),
      await get('', { authorization: `Bearer ${token}` }),
      await get('', basic('<token>', token)),
      await get('', basic('<token>', elsewhere)),
      await post({ ...form, password: 'wrong' }),
      await post({ grant_type: 'refresh_token', refresh_token: token }),
      await post({ grant_type: 'refresh_token', refresh_token: 'wrong' }),
    ]
    hashes.set('alice', 'changed')
    answers.push(await post({ grant_type: 'refresh_token', refresh_token: refresh }))
    for (const answer of answers) {
      refused(answer, 401, 'UNAUTHORIZED')
      expect(answer.headers['www-authenticate']).toBe(`Basic realm="${host}", charset="UTF-8"`)
    }
  })

  test('for a form that cannot be understood: 400, on which clients try GET', async () => {
    const { post, host } = await start()
    refused(await post({ ...form, grant_type: 'client_credentials' }), 400, 'UNSUPPORTED')
    refused(await post({ client_id: 'regclient', service: host }), 400, 'UNSUPPORTED')
    refused(await post({ grant_type: 'password', username: 'alice' }), 400, 'UNSUPPORTED')
    refused(await post({ grant_type: 'refresh_token', refresh_token: '' }), 400, 'UNSUPPORTED')
    refused(await post(''), 400, 'UNSUPPORTED')
    refused(await post(JSON.stringify(form), 'application/json'), 400, 'UNSUPPORTED')
  })

  test('for another service', async () => {
    const { get, post, host } = await start()
    refused(await get('service=other.example', basic('alice', password)), 400, 'UNSUPPORTED')
    refused(await post({ ...form, service: 'other.example' }), 400, 'UNSUPPORTED')
    bodyOf(await get('service=Registry.Example', { host: 'registry.example' }))
    bodyOf(await get(`service=${host.toUpperCase()}`))
  })

  test('with another method', async () => {
    const { get } = await start()
    for (const method of ['PUT', 'DELETE', 'OPTIONS']) {
      const answer = await get('', {}, method)
      refused(answer, 405, 'UNSUPPORTED')
      expect(answer.headers.allow).toBe('GET, POST')
    }
    expect((await get('', {}, 'HEAD')).status).toBe(405)
  })

  test('where the credential cannot be looked at now', async () => {
    const { get } = await start()
    const answer = await get('', basic('down', 'x'))
    refused(answer, 503, 'UNAVAILABLE')
    expect(answer.headers['retry-after']).toBe('5')
    expect(errorOf(answer).message).toBe('the login cannot be checked at the moment: try again') // the gate's words
    refused(await get('', basic('many', 'x')), 429, 'TOOMANYREQUESTS')
  })

  test('for more than 64 KiB, whether its length is told or not', async () => {
    const { post, port, lines } = await start()
    refused(await post(`password=${'x'.repeat(70_000)}`), 413, 'UNSUPPORTED')
    const client = connect(port, '127.0.0.1')
    client.write(
      `POST /token HTTP/1.1\r\nhost: a\r\ncontent-type: ${formType}\r\ntransfer-encoding: chunked\r\n\r\n`,
    )
    client.write(`11170\r\n${'x'.repeat(70_000)}\r\n`)
    const [answer] = (await once(client, 'data')) as [Buffer]
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 413 /)
    client.destroy()
    await vi.waitFor(() => expect(lines).toHaveLength(2))
  })

  test('for a form that breaks off, or takes more than 10 s however it trickles', async () => {
    const { port, lines } = await start()
    const begin = `POST /token HTTP/1.1\r\nhost: a\r\ncontent-type: ${formType}\r\ncontent-length: 50\r\n\r\ngrant`
    connect(port, '127.0.0.1')
      .on('error', () => {})
      .end(begin)
    await vi.waitFor(() => expect(lines).toHaveLength(1))
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    onTestFinished(() => void vi.useRealTimers())
    const client = connect(port, '127.0.0.1').on('error', () => {})
    const closed = new Promise(resolve => client.once('close', resolve)) // it is cut off in the middle
    client.write(begin)
    await vi.waitFor(() => expect(vi.getTimerCount()).toBe(1), { interval: 0 })
    vi.advanceTimersByTime(9000)
    client.write('_type')
    vi.advanceTimersByTime(1000)
    await closed
    await vi.waitFor(() => expect(lines).toHaveLength(2))
    for (const line of lines) expect(line).toMatchObject({ path: '/token', aborted: true })
  })
})

test('the log has neither passwords nor tokens', async () => {
  const { get, post, tokens, host, lines } = await start()
  const refresh = (await tokens.issueRefresh({ caller: alice, audience: host })) ?? ''
  const secrets = [password, encodeURIComponent(password), refresh, 'planted', oidcToken]
  const { token } = bodyOf(await get('scope=repository:team/app:pull', basic('alice', password)))
  await get('password=planted&refresh_token=planted', basic('alice', 'planted'))
  await post({ grant_type: 'password', username: 'alice', password: 'planted' })
  await post({ grant_type: 'refresh_token', refresh_token: refresh })
  await post({ grant_type: 'refresh_token', refresh_token: refresh, service: 'other' })
  await post({ grant_type: 'refresh_token', refresh_token: `${refresh}planted` })
  await get('', basic('github', `${oidcToken}!`))
  await vi.waitFor(() => expect(lines.filter(({ msg }) => msg === 'request')).toHaveLength(7))
  const text = JSON.stringify(lines)
  expect(text).toContain('wrong password')
  for (const secret of [...secrets, token]) expect(text).not.toContain(secret)
})
