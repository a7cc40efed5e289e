/** Names of which their upstream decides for each caller, where a policy of ours decides too. */
import { expect, onTestFinished, test, vi } from 'vitest'
import type { AccessOptions, PolicyOptions } from '../../../src/access/options.ts'
import { image } from '../../fake/content.ts'
import type { HostName } from '../../fake/hosts.ts'
import { accessOptions, basic } from '../../support/access.ts'
import { asked, errorOf, hub, scene } from '../scene.ts'

const app = image('private')
const name = 'team/app'
const path = `/v2/${name}/manifests/v1`
const registry = 'registry.hub.test' satisfies HostName
const anns = basic('ann', 'planted-of-ann')

/** Ann has a login of the upstream's, and alice one of ours. */
async function start(access: Partial<AccessOptions>) {
  const at = await scene({
    upstreams: net => {
      const authRealms = [new URL(net.url('auth.hub.test')).host]
      return [hub(net, { options: { access: 'passthrough', authRealms } })]
    },
    access: accessOptions(access),
  })
  onTestFinished(() => at[Symbol.asyncDispose]())
  at.net.hub.put(name, 'v1', app)
  at.net.hub.makePrivate(name)
  at.net.hub.addUser('ann', 'planted-of-ann', { pull: [name] })
  return {
    ...at,
    askWith: (authorization: string | undefined, asked = path) =>
      at.ask(asked, authorization === undefined ? {} : { headers: { authorization } }),
    audits: () => at.layover.lines.filter(({ msg }) => msg === 'audit'),
  }
}

const pulls: PolicyOptions = {
  default: 'deny',
  rules: [{ name: undefined, when: 'upstream == "docker.io" && action == "pull"' }],
}

test('a login there is the upstream’s: it is not looked at here, and fails nobody’s login', async () => {
  const at = await start({ policy: pulls, logins: { perAddress: 1, perUser: 1, windowMs: 60_000 } })
  for (const header of [anns, anns, basic('alice', 'of another'), basic('zoe', 'of nobody'), anns])
    expect((await at.askWith(header)).status).toBe(header === anns ? 200 : 403)
  const shownThere = at.net
    .requests({ host: 'auth.hub.test' })
    .flatMap(({ headers }) => headers.authorization ?? [])
  expect(new Set(shownThere)).toEqual(
    new Set([anns, basic('alice', 'of another'), basic('zoe', 'of nobody')]),
  )
  expect(at.audits()).toEqual([])
  expect((await at.askWith(basic('alice'), '/v2/')).status).toBe(200) // one failure would have been one too many
  expect((await at.askWith(anns, '/v2/')).status).toBe(401) // it is a login for these names alone
})

test('a policy that denies is not asked of upstream, and no login is asked for', async () => {
  const at = await start({})
  for (const header of [undefined, basic('alice'), anns]) {
    const refused = await at.askWith(header)
    expect([refused.status, refused.headers['www-authenticate']]).toEqual([403, undefined])
    expect(errorOf(refused).code).toBe('DENIED')
  }
  expect(at.net.requests()).toEqual([])
  await vi.waitFor(() =>
    expect(at.audits()).toMatchObject(
      Array.from({ length: 3 }, () => ({ audit: 'denied', repository: name, status: 403 })),
    ),
  )
})

test('a policy that allows leaves the rest to upstream', async () => {
  const at = await start({ policy: pulls })
  const nobody = await at.askWith(undefined)
  expect([nobody.status, nobody.headers['www-authenticate']]).toEqual([
    401,
    'Basic realm="docker.io through Layover"',
  ])
  expect(asked(at.net, registry)).not.toEqual([])
  expect((await at.askWith(anns)).status).toBe(200)
  expect((await at.askWith('Bearer of-ours')).status).toBe(401)
  expect((await at.askWith(basic('alice'))).status).toBe(403)
  const ping = await at.askWith(undefined, '/v2/')
  expect([ping.status, ping.headers['www-authenticate']]).toEqual([401, expect.stringMatching(/^Bearer /)])
})
