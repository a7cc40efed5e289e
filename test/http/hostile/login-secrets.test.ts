/** What people and machines log in with, right and wrong, and everything that comes out looked through for it. */
import { readFile } from 'node:fs/promises'
import { hashSync } from 'bcryptjs'
import { expect, test } from 'vitest'
import { effective } from '../../../src/config/effective.ts'
import { accessOptions, basic, issuerOptions } from '../../support/access.ts'
import { startIssuer } from '../../support/issuer.ts'
import { guarded } from '../access/scene.ts'
import { askSocket } from '../admin/client.ts'
import { type Answered, ask } from '../scene.ts'
import { filesIn, leaksOf } from './leaks.ts'

const right = 'planted/right+password'
const wrong = 'planted/wrong+password'

test('none comes out: not in answers, headers, logs, metrics, the admin API, the configuration in force or the store', async () => {
  await using issuer = await startIssuer()
  const stored = hashSync(right, 4)
  const access = accessOptions({
    users: [{ name: 'alice', hash: stored }],
    oidc: [issuerOptions(issuer)],
    webhook: {
      url: 'http://127.0.0.1:9/never',
      token: 'planted-webhook-token',
      timeoutMs: 500,
      allowMs: 0,
      denyMs: 0,
      ca: undefined,
    },
    policy: {
      default: 'deny',
      rules: [
        { name: 'alice', when: 'user == "alice" && claims.a == 1' },
        { name: 'all', when: 'authenticated' },
      ],
    },
  })
  await using at = await guarded({ ...access, webhook: undefined })
  const oidcToken = await issuer.token({ sub: 'alice', aud: 'layover' })
  const strange = await issuer.token({ sub: 'alice', aud: 'somebody else' })
  const planted: Record<string, string> = {
    right,
    wrong,
    stored,
    oidcToken,
    strange,
    webhookToken: 'planted-webhook-token',
  }
  const said: string[] = []
  /** Tokens are what some answers are for: there they may stand. */
  const hear = ({ status, headers, body }: Answered) =>
    said.push(`${status} ${JSON.stringify(headers)} ${body.toString('latin1')}`)

  const realm = `${at.layover.url}/token?offline_token=true&scope=repository:plain.example/app:pull`
  const given = await fetch(realm, { headers: { authorization: basic('alice', right) } })
  const { token, refresh_token: refreshToken } = (await given.json()) as Record<string, string>
  Object.assign(planted, { token, refreshToken })
  const shown = [
    basic('alice', right),
    basic('alice', wrong),
    basic('nobody', wrong),
    basic('ci', oidcToken),
    basic('ci', strange),
    `Bearer ${oidcToken}`,
    `Bearer ${strange}`,
    `Bearer ${token}`,
    `Bearer ${token}x`,
    `Bearer ${refreshToken}`,
    `Digest ${wrong}`,
  ]
  const paths = ['/v2/', '/v2/plain.example/app/manifests/v1', '/v2/_catalog', '/metrics', '/nothing']
  const askAll = async () => {
    for (const authorization of shown)
      for (const path of paths) hear(await ask(at.layover.url, path, { headers: { authorization } }))
  }
  await askAll()
  for (const authorization of [basic('alice', wrong), basic('ci', strange), `Digest ${wrong}`])
    hear(await ask(at.layover.url, '/token', { headers: { authorization } }))
  for (const form of [
    { grant_type: 'password', username: 'alice', password: wrong },
    { grant_type: 'refresh_token', refresh_token: `${refreshToken}x` },
    { grant_type: 'planted', password: wrong },
  ]) {
    const body = Buffer.from(new URLSearchParams(Object.entries({ ...form, service: 'x' })).toString())
    const headers = {
      'content-type': 'application/x-www-form-urlencoded',
      'content-length': String(body.length),
    }
    hear(await ask(at.layover.url, '/token', { method: 'POST', body, headers }))
  }
  await at.layover.reload({ ...at.layover.config, access }) // with a webhook that is not there
  await askAll()
  for (const path of ['/config', '/status']) said.push(JSON.stringify(await askSocket(at.layover, path)))
  said.push(JSON.stringify(effective({ ...at.layover.config, access })))
  await at.layover.stop()
  said.push(JSON.stringify(at.layover.lines))
  for (const path of await filesIn(at.layover.storePath))
    said.push(`${path} ${await readFile(path, 'latin1')}`)
  expect(said.length).toBeGreaterThan(100)
  expect([...new Set(said.flatMap(text => leaksOf(planted, text)))]).toEqual([])
})
