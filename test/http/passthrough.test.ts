/** `access: passthrough`: what is cached is given to whom the upstream itself lets have it, asked with his own login. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import { readContent } from '../fake/bytes.ts'
import { artifact, image } from '../fake/content.ts'
import type { HostName } from '../fake/hosts.ts'
import type { Internet } from '../fake/internet.ts'
import type { UpstreamSetting } from '../support/layover.ts'
import { pushBundle } from './push-client.ts'
import { type AskOptions, asked, errorOf, hub, layerOf, plain, type SceneSetting, scene } from './scene.ts'

const app = image('private', { layers: [300, 200_000] })
const name = 'team/app'
const tagPath = `/v2/${name}/manifests/v1`
const digestPath = `/v2/${name}/manifests/${app.digest}`
const blobPath = `/v2/${name}/blobs/${layerOf(app).digest}`
const minute = 60_000
const challenge = 'Basic realm="docker.io through Layover"'
const registry = 'registry.hub.test' satisfies HostName

const passthrough = (net: Internet, setting: Partial<UpstreamSetting> = {}) =>
  hub(net, {
    ...setting,
    options: { access: 'passthrough', authRealms: [new URL(net.url('auth.hub.test')).host] },
  })

/** Ann and Ben may have it, Eve is somebody else. */
async function world(setting: SceneSetting = {}, policy: UpstreamSetting['policy'] = {}) {
  const at = await scene({ upstreams: net => [passthrough(net, { policy })], ...setting })
  const { net } = at
  net.hub.put(name, 'v1', app)
  net.hub.makePrivate(name)
  for (const user of ['ann', 'ben']) net.hub.addUser(user, passwordOf(user), { pull: [name] })
  net.hub.addUser('eve', passwordOf('eve'), { pull: [] })
  const askAs = (user: string, path: string, options: AskOptions = {}) =>
    at.ask(path, { ...options, headers: { ...options.headers, authorization: basic(user) } })
  return {
    ...at,
    askAs,
    /** As Ann pulled it; kept, and the flights over. */
    async pulled(...paths: string[]) {
      for (const path of paths) {
        await vi.waitFor(async () => {
          const { status, headers } = await askAs('ann', path)
          expect([path, status, headers['cache-status']]).toEqual([path, 200, 'layover; hit'])
          const { body } = await at.ask('/metrics')
          expect(body.toString()).not.toMatch(/^layover_flights\{.*\} [1-9]/m)
        })
      }
      net.clearRequests()
    },
  }
}

const passwordOf = (user: string) => `planted-of-${user}`

function basic(user: string, password = passwordOf(user)): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
}

const objects = [tagPath, digestPath, blobPath]

describe('what is cached', () => {
  test('was asked for with no more than a fetch, and is given to who fetched it', async () => {
    await using at = await world()
    expect((await at.askAs('ann', tagPath)).status).toBe(200)
    expect(asked(at.net, registry)).toEqual([`GET ${registry} ${tagPath}`, `GET ${registry} ${tagPath}`]) // the first draws the challenge
    await at.pulled(...objects)
    for (const path of objects) {
      const answer = await at.askAs('ann', path)
      expect([path, answer.status, answer.headers['cache-control']]).toEqual([path, 200, 'private, no-cache'])
      expect(answer.headers.vary).toBe('authorization')
    }
    expect(asked(at.net)).toEqual([])
  })

  test.each(
    objects.slice(0, 2),
  )('is given to another whom upstream lets have it, after one HEAD: %s', async path => {
    await using at = await world()
    await at.pulled(...objects)
    for (let times = 0; times < 2; times += 1) {
      const { status, body } = await at.askAs('ben', path)
      expect([status, body.equals(app.manifests[0]?.body ?? body)]).toEqual([200, true])
    }
    expect((await at.askAs('ben', blobPath)).status).toBe(200) // one verdict for the repository
    expect(asked(at.net)).toEqual([`HEAD ${registry} ${path}`])
  })

  test('is not fetched again for him: a blob', async () => {
    await using at = await world()
    await at.pulled(...objects)
    const { status, body } = await at.askAs('ben', blobPath)
    expect([status, body.equals(readContent(layerOf(app).content))]).toEqual([200, true])
    expect(at.net.requests({ host: registry, method: 'HEAD' })).toHaveLength(1)
    expect(
      at.net.requests({ method: 'GET', path: /blobs/ }).every(({ headers }) => headers.range === 'bytes=0-0'),
    ).toBe(true)
  })

  test.each(['GET', 'HEAD'])('is nobody else’s: %s', async method => {
    await using at = await world()
    await at.pulled(...objects)
    for (const path of [...objects, `/v2/${name}/tags/list`, `/v2/${name}/referrers/${app.digest}`]) {
      const stranger = await at.askAs('eve', path, { method })
      expect([path, stranger.status, stranger.headers['www-authenticate']]).toEqual([path, 403, undefined])
      const nobody = await at.ask(path, { method })
      expect([path, nobody.status, nobody.headers['www-authenticate']]).toEqual([path, 401, challenge])
      const token = await at.ask(path, { method, headers: { authorization: 'Bearer of-somebody' } })
      expect([path, token.status]).toEqual([path, 401])
    }
    expect(errorOf(await at.askAs('eve', tagPath)).detail).toMatchObject({
      upstream: 'docker.io',
      failure: 'caller-refused',
    })
    expect(errorOf(await at.ask(tagPath)).code).toBe('UNAUTHORIZED')
    expect((await at.askAs('ann', tagPath)).headers['cache-status']).toBe('layover; hit') // what he was refused is still here
  })

  test('is no blob whose digest is guessed', async () => {
    await using at = await world()
    await at.pulled(...objects)
    at.net.hub.put('eve/own', 'v1', artifact('other'))
    at.net.hub.makePrivate('eve/own')
    at.net.hub.addUser('eve', passwordOf('eve'), { pull: ['eve/own'] })
    expect((await at.askAs('eve', '/v2/eve/own/manifests/v1')).status).toBe(200)
    expect((await at.askAs('eve', `/v2/eve/own/blobs/${layerOf(app).digest}`)).status).toBe(404)
    expect((await at.askAs('eve', blobPath)).status).toBe(403)
  })

  test('is listed for whom upstream lets see it', async () => {
    await using at = await world()
    const path = `/v2/${name}/tags/list`
    expect((await at.askAs('ann', path)).status).toBe(200)
    at.net.clearRequests()
    expect(JSON.parse((await at.askAs('ben', path)).body.toString())).toMatchObject({ tags: ['v1'] })
    expect((await at.askAs('ben', path)).headers['cache-status']).toBe('layover; hit')
    expect(asked(at.net)).toHaveLength(1)
    expect(JSON.parse((await at.ask('/v2/_catalog')).body.toString())).toEqual({ repositories: [] })
    expect((await at.ask(`/v2/_ext/${name}/_revisions`)).status).toBe(404)
  })
})

describe('a verdict', () => {
  test('lasts for its time, and a denial after it is never answered from the cache', async () => {
    await using at = await world()
    await at.pulled(...objects)
    at.net.hub.addUser('ann', passwordOf('ann'), { pull: [] })
    at.net.bearer(at.net.hub).lifeMs = 1
    expect((await at.askAs('ann', digestPath)).status).toBe(200)
    at.clock.advance(10 * minute)
    for (const path of objects) expect([path, (await at.askAs('ann', path)).status]).toEqual([path, 403])
    at.net.fault({ host: registry, kind: 'status', status: 502 })
    at.clock.advance(minute)
    for (const path of objects) expect([path, (await at.askAs('ann', path)).status]).toEqual([path, 503])
  })

  test('outlasts an outage for its grace and no longer, for those who have one', async () => {
    await using at = await world({}, { tags: [{ match: '*', freshMs: minute }] })
    await at.pulled(...objects)
    at.net.fault({ host: registry, kind: 'status', status: 502 })
    at.clock.advance(5 * minute)
    for (const path of objects) {
      expect([path, (await at.askAs('ann', path)).status]).toEqual([path, 200])
      expect([path, (await at.askAs('ben', path)).status]).toEqual([path, 503])
      expect([path, (await at.ask(path)).status]).toEqual([path, 503])
    }
    at.clock.advance(6 * minute)
    for (const path of objects) expect([path, (await at.askAs('ann', path)).status]).toEqual([path, 503])
  })

  test('is none where upstream has nothing: 404 stays 404, and takes nothing from the others', async () => {
    await using at = await world({}, { onNotFound: { serveForMs: 0 } })
    await at.pulled(...objects)
    expect((await at.askAs('ann', `/v2/${name}/manifests/none`)).status).toBe(404)
    at.net.fault({ host: registry, kind: 'status', status: 404, path: /v1$/, times: 1 })
    expect((await at.askAs('ben', tagPath)).status).toBe(404)
    expect((await at.askAs('ann', tagPath)).headers['cache-status']).toBe('layover; hit')
  })

  test('of one in a herd is not the others’', async () => {
    await using at = await world()
    await at.pulled(tagPath)
    const herd = ['eve', 'ann', 'eve', 'ben', 'ben'].map(user => at.askAs(user, blobPath))
    const answers = await Promise.all([...herd, at.ask(blobPath)])
    expect(answers.map(({ status }) => status)).toEqual([403, 200, 403, 200, 200, 401])
  })
})

describe('a login', () => {
  test('that is wrong is tried once, and few of one user', async () => {
    await using at = await world()
    const tryWith = (password: string) =>
      at.ask(tagPath, { headers: { authorization: basic('ann', password) } })
    for (let nth = 0; nth < 6; nth += 1)
      for (let times = 0; times < 2; times += 1) expect((await tryWith(`wrong-${nth}`)).status).toBe(403)
    const tried = () =>
      at.net.requests({ host: 'auth.hub.test' }).filter(({ headers }) => headers.authorization)
    expect(tried()).toHaveLength(3)
    expect((await tryWith(passwordOf('ann'))).status).toBe(403) // of this user, from here, none is tried for a while
    expect((await at.askAs('ben', tagPath)).status).toBe(200)
    at.clock.advance(10 * minute)
    expect((await tryWith(passwordOf('ann'))).status).toBe(200)
    expect(at.layover.lines.filter(({ level }) => level === 'error' || level === 'warn')).toEqual([])
  })

  test('that was shown where nobody needs one counts as untried', async () => {
    await using at = await world()
    at.net.bearer(at.net.hub).open = true
    at.net.hub.put('library/app', 'v1', app)
    for (let nth = 0; nth < 5; nth += 1) {
      const headers = { authorization: basic('ann', `wrong-${nth}`) }
      await at.ask('/v2/library/app/manifests/v1', { headers })
      expect((await at.ask(tagPath, { headers })).status).toBe(403)
    }
    const tried = at.net.requests({ host: 'auth.hub.test' }).filter(({ headers }) => headers.authorization)
    expect(tried).toHaveLength(3)
  })

  test('is in nothing that comes out, and goes to its upstream’s own realm alone', async () => {
    await using at = await world()
    await at.pulled(...objects)
    for (const user of ['ben', 'eve', 'zoe']) for (const path of objects) await at.askAs(user, path)
    at.net.fault({ host: registry, kind: 'status', status: 502 })
    at.clock.advance(2 * minute)
    for (const user of ['ann', 'eve']) await at.askAs(user, tagPath)
    const secrets = ['ann', 'ben', 'eve', 'zoe'].flatMap(user => [
      passwordOf(user),
      basic(user).slice('Basic '.length),
    ])
    const metrics = (await at.ask('/metrics')).body.toString()
    const told = [JSON.stringify(at.layover.lines), metrics, ...(await filesIn(at.layover.storePath))]
    for (const secret of secrets) expect(told.filter(text => text.includes(secret))).toEqual([])
    const carrying = at.net
      .requests()
      .filter(({ headers, query, path }) =>
        secrets.some(secret => JSON.stringify([headers, [...query], path]).includes(secret)),
      )
    expect(new Set(carrying.map(({ host }) => host))).toEqual(new Set(['auth.hub.test']))
  })

  test('goes to the upstream of the name alone', async () => {
    await using at = await world({ upstreams: net => [passthrough(net), plain(net, { isDefault: false })] })
    at.net.plain.put('app', 'v1', app)
    expect((await at.askAs('ann', '/v2/plain.example/app/manifests/v1')).status).toBe(200)
    expect(at.net.requests().filter(({ headers }) => headers.authorization !== undefined)).toEqual([])
  })

  test('is not asked for at a mirror', async () => {
    await using at = await world({ listen: [{ host: '127.0.0.1', port: 0, role: 'mirror', tls: undefined }] })
    const refused = await at.ask(tagPath)
    expect([refused.status, refused.headers['www-authenticate']]).toEqual([403, undefined])
    expect((await at.ask('/v2/')).headers['www-authenticate']).toBeUndefined()
    expect((await at.askAs('ann', tagPath)).status).toBe(200)
  })

  test('is hinted at by the ping, for clients that look there', async () => {
    await using at = await world()
    const ping = await at.ask('/v2/')
    expect([ping.status, ping.headers['www-authenticate']]).toEqual([200, 'Basic realm="Layover"'])
  })
})

test('a registry that takes passwords itself is sent each wrong one once', async () => {
  await using at = await scene({
    upstreams: net => [
      plain(net, { registry: 'ecr.example', url: net.url('ecr.test'), options: { access: 'passthrough' } }),
    ],
  })
  const { ecr } = at.net
  ecr.put(name, 'v1', app)
  ecr.addUser('ann', passwordOf('ann'))
  const askAs = (password: string, path: string) =>
    at.ask(path, { headers: { authorization: basic('ann', password) } })
  expect((await askAs(passwordOf('ann'), tagPath)).status).toBe(200)
  at.net.clearRequests()
  for (const path of [blobPath, tagPath, blobPath]) expect((await askAs('wrong', path)).status).toBe(403)
  expect(at.net.requests().filter(({ headers }) => headers.authorization)).toHaveLength(1)
  expect((await askAs(passwordOf('ann'), tagPath)).status).toBe(200)
  expect((await at.ask(tagPath)).status).toBe(401)
})

test('whoever asks first, each next one is decided anew', async () => {
  await using at = await world()
  await at.pulled(...objects)
  for (const path of objects) {
    expect((await at.ask(path)).status).toBe(401)
    expect((await at.askAs('eve', path)).status).toBe(403)
    expect((await at.askAs('ben', path)).status).toBe(200)
  }
})

test('what is cached is not mounted into a local name', async () => {
  await using at = await world()
  await at.pulled(...objects)
  const { digest } = layerOf(app)
  const mount = await at.askAs('ann', `/v2/local/own/blobs/uploads/?mount=${digest}&from=${name}`, {
    method: 'POST',
  })
  expect(mount.status).toBe(202)
  expect((await at.ask(`/v2/local/own/blobs/${digest}`)).status).toBe(404)
})

test('beneath a local name upstream is asked as by nobody: logins there are ours', async () => {
  await using at = await world({ local: [{ name: 'team', match: 'team/**', overlay: true }] })
  await pushBundle({ url: at.layover.url, name }, artifact('ours'), 'ours')
  expect((await at.askAs('ann', `/v2/${name}/manifests/ours`)).status).toBe(200)
  expect((await at.askAs('ann', tagPath)).status).toBe(404)
  expect(JSON.parse((await at.askAs('ann', `/v2/${name}/tags/list`)).body.toString())).toMatchObject({
    tags: ['ours'],
  })
  expect(at.net.requests({ host: 'auth.hub.test' }).filter(({ headers }) => headers.authorization)).toEqual(
    [],
  )
})

async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter(entry => entry.isFile())
  return Promise.all(files.map(({ parentPath, name: file }) => readFile(join(parentPath, file), 'latin1')))
}
