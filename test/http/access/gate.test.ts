/** What the gate lets through, seen from outside. */
import { describe, expect, test, vi } from 'vitest'
import { presets } from '../../../src/access/policy/presets.ts'
import { digestOf } from '../../../src/oci/digest.ts'
import { accessOptions, basic, rules } from '../../support/access.ts'
import { errorOf, type SceneSetting } from '../scene.ts'
import { app, challengeIn, manifest, pushed, start, tokenAt } from './scene.ts'

const upload = '/v2/local/team/app/blobs/uploads/'
const hour = 3_600_000

describe('anonymous pulls, pushes with a login', () => {
  test('who has no login pulls, is told at the ping how to log in, and cannot push', async () => {
    const at = await start({ policy: presets['anonymous-pull'] })
    expect((await at.as(undefined, manifest)).status).toBe(200)
    expect(challengeIn(await at.as(undefined, '/v2/'))).toEqual({
      realm: `${at.layover.url}/token`,
      scope: undefined,
      error: undefined,
    })
    const refused = challengeIn(await at.as(undefined, upload, { method: 'POST' }))
    expect(refused.scope).toBe('repository:local/team/app:pull,push')
    expect((await at.push('alice', 'local/team/app')).status).toBe(201)
    expect((await at.as(undefined, `/v2/local/team/app/blobs/${digestOf(pushed)}`)).status).toBe(200)
  })

  test('no user with no password is no login: podman and skopeo send that where they have none', async () => {
    for (const challenge of ['basic', 'bearer'] as const) {
      const at = await start({ challenge, policy: presets['anonymous-pull'] })
      const none = basic('', '')
      expect((await at.as(none, '/v2/')).status).toBe(401)
      expect((await at.as(none, manifest)).status).toBe(200)
      expect((await at.as(none, upload, { method: 'POST' })).status).toBe(401)
      expect((await at.page(none, '/token?scope=repository:plain.example/app:pull')).status).toBe(200)
      expect(at.audits()).toEqual([])
    }
  })

  test('a token of nobody lets pull, and a push with it is told what to ask for', async () => {
    const at = await start({ policy: presets['anonymous-pull'] })
    const { realm } = challengeIn(await at.as(undefined, '/v2/'))
    const token = `Bearer ${await tokenAt(realm, 'repository:plain.example/app:pull,push')}`
    expect((await at.as(token, '/v2/')).status).toBe(200)
    expect((await at.as(token, manifest)).status).toBe(200)
    expect(challengeIn(await at.as(token, upload, { method: 'POST' })).scope).toBe(
      'repository:local/team/app:pull,push',
    )
  })
})

test('which registries are configured is told to whom we know, and where anybody may pull', async () => {
  const unknown = '/v2/app/manifests/v1?ns=elsewhere.example'
  const told = async (at: Awaited<ReturnType<typeof start>>, user?: string) => {
    const answer = await at.as(user, unknown)
    expect([answer.status, errorOf(answer).code]).toEqual([404, 'NAME_UNKNOWN'])
    return (errorOf(answer) as { detail?: unknown }).detail
  }
  const strict = await start()
  expect(await told(strict)).toBeUndefined()
  expect(await told(strict, basic('alice', 'wrong'))).toBeUndefined()
  expect((await strict.as('alice', manifest)).status).toBe(200)
  expect(await told(strict, 'alice')).toEqual({ known: ['plain.example'] })
  expect(await told(await start({ policy: presets['anonymous-pull'] }))).toEqual({ known: ['plain.example'] })
})

describe('a registry token', () => {
  test('is good for what it was asked for, and a larger one can be asked for', async () => {
    const at = await start()
    const realm = `${at.layover.url}/token`
    const token = `Bearer ${await tokenAt(realm, 'repository:plain.example/app:pull', basic('alice'))}`
    expect((await at.as(token, manifest)).status).toBe(200)
    expect((await at.as(token, manifest)).status).toBe(200)
    const other = challengeIn(await at.as(token, '/v2/plain.example/secret/app/manifests/v1'))
    expect(other).toMatchObject({
      scope: 'repository:plain.example/secret/app:pull',
      error: 'insufficient_scope',
    })
    expect(challengeIn(await at.as(token, '/v2/_catalog')).scope).toBe('registry:catalog:*')
    const larger = await tokenAt(realm, other.scope ?? '', basic('alice'))
    expect((await at.as(`Bearer ${larger}`, '/v2/plain.example/secret/app/manifests/v1')).status).toBe(200)
  })

  test('is asked for by the name that leads there without what stands beside it', async () => {
    const at = await start()
    const scopeAt = async (path: string) => challengeIn(await at.as(undefined, path)).scope
    expect(await scopeAt('/v2/app/manifests/v1')).toBe('repository:app:pull')
    expect(await scopeAt('/v2/app/manifests/v1?ns=plain.example')).toBe('repository:plain.example/app:pull')
    expect(await scopeAt('/plain.example/v2/app/manifests/v1')).toBe('repository:plain.example/app:pull')
    const token = await tokenAt(`${at.layover.url}/token`, 'repository:app:pull', basic('alice'))
    expect((await at.as(`Bearer ${token}`, manifest)).status).toBe(200)
  })

  test('ends with the password that was shown for it', async () => {
    const at = await start()
    const token = `Bearer ${await tokenAt(`${at.layover.url}/token`, 'repository:plain.example/app:pull', basic('alice'))}`
    expect((await at.as(token, manifest)).status).toBe(200)
    const [, mallory] = accessOptions().users
    await at.layover.reload({
      ...at.layover.config,
      access: accessOptions({ users: mallory ? [mallory] : [] }),
    })
    expect((await at.as(token, manifest)).status).toBe(401)
    expect((await at.as('alice', manifest)).status).toBe(401)
  })
})

describe('a policy', () => {
  test('holds under every name that leads to the repository', async () => {
    const at = await start({ policy: rules('repository.like("plain.example/app")') })
    const names = [
      '/v2/plain.example/secret/app',
      '/v2/secret/app',
      '/plain.example/v2/secret/app',
      '/plain.example/secret/app',
      '/v2/plain.example/plain.example/secret/app',
    ]
    for (const name of names) {
      for (const rest of ['/manifests/v1', '/tags/list', `/blobs/${app.root.digest}`])
        expect((await at.as('alice', `${name}${rest}`)).status, name + rest).toBe(403)
    }
    expect((await at.as('alice', '/v2/secret/app/manifests/v1?ns=plain.example')).status).toBe(403)
    expect(at.net.requests({})).toEqual([])
    expect((await at.as('alice', manifest)).status).toBe(200)
  })

  test('says no also of what is in memory, and of what does not exist in the same words', async () => {
    const at = await start()
    for (let nth = 0; nth < 3; nth += 1) {
      const { status, headers } = await at.as('alice', manifest)
      expect([status, headers['cache-control']]).toEqual([200, 'private, no-cache']) // no cache in front decides
    }
    const [held, absent] = [
      await at.as('mallory', manifest),
      await at.as('mallory', '/v2/none/x/manifests/v9'),
    ]
    expect([held.status, absent.status]).toEqual([403, 403])
    expect(errorOf(held)).toEqual(errorOf(absent))
    expect((await at.as(undefined, manifest)).status).toBe(401)
    expect((await at.as('alice', manifest)).status).toBe(200)
  })

  test('is taken over by a reload, for what is in memory too', async () => {
    const at = await start()
    for (let nth = 0; nth < 3; nth += 1) expect((await at.as('alice', manifest)).status).toBe(200)
    const access = accessOptions({ policy: rules('user == "mallory"') })
    await at.layover.reload({ ...at.layover.config, access })
    expect((await at.as('alice', manifest)).status).toBe(403)
    expect((await at.as('mallory', manifest)).status).toBe(200)
  })

  test('sees each tag of a push', async () => {
    const at = await start({ policy: rules('user == "alice" && tag != "prod"') })
    const put = (query: string) =>
      at.as('alice', `/v2/local/team/app/manifests/${app.root.digest}${query}`, {
        method: 'PUT',
        headers: { 'content-type': app.root.mediaType },
        body: app.root.body,
      })
    expect((await put('?tag=dev')).status).toBe(201)
    expect((await put('?tag=dev&tag=prod')).status).toBe(403)
    expect((await at.as('alice', '/v2/local/team/app/manifests/prod')).status).toBe(403)
  })

  test('of a namespace and of an upstream has to allow too', async () => {
    const at = await start(
      { policy: rules('true') },
      {
        policies: {
          upstreams: { 'plain.example': rules('repository == "plain.example/app"') },
          namespaces: { local: rules('user == "alice"') },
        },
      },
    )
    expect((await at.as('mallory', manifest)).status).toBe(200)
    expect((await at.as('mallory', '/v2/secret/app/manifests/v1')).status).toBe(403)
    expect((await at.push('alice', 'local/team/app')).status).toBe(201)
    expect((await at.push('mallory', 'local/team/app')).status).toBe(403)
  })
})

test('which registries are mirrored is told to nobody who has not been let in', async () => {
  const at = await start()
  for (const path of ['/v2/app/manifests/v1?ns=other.example', '/v2/_ext/x/_revisions']) {
    const { body } = await at.as(undefined, path)
    expect(body.toString()).not.toContain('plain.example')
  }
})

describe('across repositories', () => {
  const policy = rules('user == "alice"', 'repository.like("local/mallory/**")', 'action == "catalog"')

  test('nothing is mounted from where one may not pull', async () => {
    const at = await start({ policy })
    expect((await at.push('alice', 'local/alice/app')).status).toBe(201)
    const mount = (user: string, query: string) =>
      at.as(user, `/v2/local/mallory/app/blobs/uploads/?mount=${digestOf(pushed)}${query}`, {
        method: 'POST',
      })
    expect((await mount('mallory', '&from=local/alice/app')).status).toBe(202)
    expect((await mount('mallory', '')).status).toBe(202)
    expect((await at.as('mallory', `/v2/local/mallory/app/blobs/${digestOf(pushed)}`)).status).toBe(404)
    expect((await mount('alice', '&from=local/alice/app')).status).toBe(201)
  })

  test('a mount with a token of the target alone is told what to ask for, with `from` and without', async () => {
    const at = await start({ policy })
    expect((await at.push('alice', 'local/alice/app')).status).toBe(201)
    const tokenFor = async (scope: string) =>
      `Bearer ${await tokenAt(`${at.layover.url}/token`, scope, basic('alice'))}`
    const small = await tokenFor('repository:local/mallory/app:pull,push')
    const mount = (token: string, query: string) =>
      at.as(token, `/v2/local/mallory/app/blobs/uploads/?mount=${digestOf(pushed)}${query}`, {
        method: 'POST',
      })
    for (const query of ['&from=local/alice/app', '']) {
      const { scope, error } = challengeIn(await mount(small, query))
      expect(error).toBe('insufficient_scope')
      expect(scope).toBe('repository:local/mallory/app:pull,push repository:local/alice/app:pull')
      const repository = `/v2/local/mallory/app/blobs/${digestOf(pushed)}`
      expect((await mount(await tokenFor(scope ?? ''), query)).status).toBe(201)
      expect((await at.as('alice', repository, { method: 'DELETE' })).status).toBe(202)
    }
    const other = `Bearer ${await tokenAt(`${at.layover.url}/token`, 'repository:local/mallory/app:pull,push', basic('mallory'))}`
    expect((await mount(other, '&from=local/alice/app')).status).toBe(202)
    expect((await mount(other, '')).status).toBe(202)
  })

  test('listings leave out what one may not pull, and pages go on behind it', async () => {
    const at = await start({ policy })
    for (const name of ['local/a', 'local/mallory/one', 'local/mallory/two', 'local/z'])
      expect((await at.push('alice', name, Buffer.from(name))).status).toBe(201)
    const names = async (user: string, path: string) =>
      JSON.parse((await at.as(user, path)).body.toString()) as Record<string, unknown>
    await vi.waitFor(async () =>
      expect(await names('alice', '/v2/_catalog')).toEqual({
        repositories: ['local/a', 'local/mallory/one', 'local/mallory/two', 'local/z'],
      }),
    )
    expect(await names('mallory', '/v2/_catalog')).toEqual({
      repositories: ['local/mallory/one', 'local/mallory/two'],
    })
    const first = await at.as('mallory', '/v2/_catalog?n=1')
    expect(JSON.parse(first.body.toString())).toEqual({ repositories: ['local/mallory/one'] })
    expect(first.headers.link).toContain('last=local%2Fmallory%2Fone')
    const { repositories } = await names('mallory', '/v2/_ext/_repositories')
    expect(repositories).toContainEqual(expect.objectContaining({ name: 'local', namespaces: 2 }))
    const { namespaces } = await names('mallory', '/v2/_ext/local/_namespaces')
    expect(namespaces).toMatchObject([{ name: 'mallory/one' }, { name: 'mallory/two' }])
    expect((await at.as('mallory', '/v2/_ext/local/a/_revisions')).status).toBe(403)
  })
})

describe('a mirror', () => {
  const listen: SceneSetting['listen'] = [{ host: '127.0.0.1', port: 0, role: 'mirror', tls: undefined }]

  test('never challenges: 403 for whom policy does not let, also with a wrong login', async () => {
    const at = await start({}, { listen })
    expect((await at.as(undefined, '/v2/')).status).toBe(200)
    expect((await at.as('alice', manifest)).status).toBe(200)
    for (const user of [undefined, 'mallory', basic('alice', 'guess'), 'Bearer x.y.z']) {
      const answer = await at.as(user, manifest)
      expect([answer.status, answer.headers['www-authenticate']]).toEqual([403, undefined])
      expect((await at.as(user, '/v2/')).status).toBe(200)
    }
    expect((await at.page('alice', '/token')).status).toBe(404)
  })
})

describe('pages', () => {
  test('have a switch of their own', async () => {
    const open = await start()
    const closed = await start({
      health: 'policy',
      metrics: 'policy',
      policy: rules('action == "metrics" && user == "alice"', 'action == "health"'),
    })
    for (const path of ['/metrics', '/health', '/livez', '/readyz'])
      expect((await open.page(undefined, path)).status, path).toBe(200)
    expect((await closed.page(undefined, '/health')).status).toBe(200)
    expect((await closed.page(undefined, '/metrics')).status).toBe(401)
    expect((await closed.page('mallory', '/metrics')).status).toBe(403)
    expect((await closed.page('alice', '/metrics')).body.toString()).toContain('layover_auth_total')
  })
})

describe('limits', () => {
  test('after too many wrong passwords nothing is looked at, also a right one', async () => {
    const at = await start({ logins: { perAddress: 3, perUser: 100, windowMs: 24 * hour } }) // another window forgives
    for (const guess of ['one', 'two', 'three'])
      expect((await at.as(basic('alice', guess), manifest)).status).toBe(401)
    const limited = await at.as('alice', manifest)
    expect([limited.status, errorOf(limited).code]).toEqual([429, 'TOOMANYREQUESTS'])
    expect(Number(limited.headers['retry-after'])).toBeGreaterThan(0)
    expect((await at.page(undefined, '/livez')).status).toBe(200)
  })

  test('on requests count each user wherever they are, and each address whoever it is', async () => {
    const at = await start({ rates: { perAddress: 0, perUser: 3 } })
    const statuses = async (user: string) => {
      const all: number[] = []
      for (let nth = 0; nth < 6; nth += 1) all.push((await at.as(user, manifest)).status)
      return all
    }
    await vi.waitFor(async () => expect(await statuses('alice')).toContain(429))
    expect((await at.as('mallory', manifest)).status).toBe(403)
    await at.layover.reload({
      ...at.layover.config,
      access: accessOptions({ rates: { perAddress: 2, perUser: 0 } }),
    })
    await vi.waitFor(async () => expect(await statuses('mallory')).toContain(429))
  })
})

describe('the audit', () => {
  test('has a line for each push, delete, failed login and denial, and none for the rest', async () => {
    const at = await start()
    await at.push('alice', 'local/team/app')
    await at.as('alice', `/v2/local/team/app/blobs/${digestOf(pushed)}`, { method: 'DELETE' })
    await at.as(basic('alice', 'guess'), manifest)
    await at.as('mallory', manifest)
    await at.as('alice', manifest)
    await at.as(undefined, manifest)
    await fetch(`${at.layover.url}/token`, { headers: { authorization: basic('mallory', 'guess') } })
    await vi.waitFor(() => expect(at.audits()).toHaveLength(5))
    expect(at.audits().map(({ audit, user, client }) => [audit, user, client])).toEqual([
      ['push', 'alice', '127.0.0.1'],
      ['delete', 'alice', '127.0.0.1'],
      ['login-failed', 'alice', '127.0.0.1'],
      ['denied', 'mallory', '127.0.0.1'],
      ['login-failed', 'mallory', '127.0.0.1'],
    ])
    expect(at.audits()[0]).toMatchObject({
      repository: 'local/team/app',
      digest: digestOf(pushed),
      status: 201,
    })
    expect(at.audits()[3]).toMatchObject({ repository: 'app', upstream: 'plain.example', status: 403 })
    expect(String(at.audits()[3]?.reason)).not.toBe('')
    expect(JSON.stringify(at.layover.lines)).not.toContain('guess')
  })
})
