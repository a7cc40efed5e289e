/** Other ways in: tokens of an issuer as passwords, Docker's identity token, headers in hosts.toml, certificates. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DockerLogin } from '../../clients/docker-login.ts'
import { loopbackCertificate } from '../../fake/certificates.ts'
import { carol, alice as certified, teamCa } from '../../fake/client-certificates.ts'
import { basic, password } from '../../support/access.ts'
import { freePort } from '../../support/free-port.ts'
import { startIssuer, type TestIssuer } from '../../support/issuer.ts'
import { startContainerd } from '../containerd.ts'
import { run, testWith } from '../tools.ts'
import { clients } from './clients.ts'
import { GuardedSite, open, ownName, secret } from './guarded-site.ts'

let site: GuardedSite
let issuer: TestIssuer
let secure: string

beforeAll(async () => {
  issuer = await startIssuer()
  secure = `127.0.0.1:${await freePort()}`
  const tls = { ...loopbackCertificate, clientCa: teamCa, clientAuth: 'optional' }
  const oidc = [{ name: 'ci', issuer: issuer.url, audience: 'layover' }]
  site = await GuardedSite.start({ oidc }, [{ address: secure, tls }])
})
afterAll(async () => {
  await site[Symbol.asyncDispose]()
  await issuer[Symbol.asyncDispose]()
})

describe('a token of an issuer as the password of its name', () => {
  for (const name of ['crane', 'regctl', 'skopeo', 'helm', 'Docker']) {
    const client = clients[name]
    if (!client) throw new Error(`there is no client ${name}`)
    testWith(client.tools, `lets ${name} in, and another's token does not`, async () => {
      const visitor = await site.visitor()
      await client.logIn(visitor, { user: 'ci', password: await issuer.token() })
      if (name !== 'helm') await client.pull(visitor, secret)
      await expect(client.push(visitor, `local/ci/${name.toLowerCase()}:1.0`)).rejects.toThrow(
        /robot may not push here|403/,
      )
      const foreign = { user: 'ci', password: await issuer.token({ aud: 'elsewhere' }) }
      const refused = await site.visitor()
      await expect(client.logIn(refused, foreign).then(() => client.pull(refused, secret))).rejects.toThrow(
        /401|unauthorized|wrong|invalid/i,
      )
    })
  }
})

describe('Docker', () => {
  const url = () => `http://${site.address}`

  test('keeps an identity token in place of the password, and comes again with it alone', async () => {
    const kept = await new DockerLogin(url(), { username: 'alice', password }).login()
    expect(kept).toEqual({ identityToken: expect.any(String) })
    const later = new DockerLogin(url(), kept)
    await later.ping()
    const headers = await later.headers(['repository:local/team/app:pull'])
    const answer = await fetch(`${url()}/v2/local/team/app/manifests/1.0`, { method: 'HEAD', headers })
    expect(answer.status).toBe(200)
  })

  test('is told of a wrong password at once', async () => {
    const wrong = new DockerLogin(url(), { username: 'alice', password: 'guess' })
    await expect(wrong.login()).rejects.toThrow(/the user name, the password or the token is wrong/)
    await expect
      .poll(() => site.audits(), { timeout: 10_000 })
      .toContainEqual(
        expect.objectContaining({ audit: 'login-failed', user: 'alice', reason: expect.any(String) }),
      )
    expect(JSON.stringify(site.audits())).not.toContain('guess')
  })
})

describe('containerd at a mirror', () => {
  testWith(['containerd', 'ctr'], 'logs in by a header of hosts.toml, and is never challenged', async () => {
    const home = await site.home()
    await using containerd = await startContainerd(home)
    const fetched = async (name: string, authorization?: string) => {
      const hosts = join(home, `hosts-${Math.random()}`)
      await mkdir(join(hosts, ownName), { recursive: true })
      await writeFile(join(hosts, ownName, 'hosts.toml'), hostsToml(authorization))
      return containerd.ctr('content', 'fetch', `--hosts-dir=${hosts}`, `${ownName}/${name}`)
    }
    await fetched(open)
    await expect(fetched(secret)).rejects.toThrow(/403 Forbidden/)
    await expect(fetched(secret, basic('alice', 'guess'))).rejects.toThrow(/403 Forbidden/)
    await fetched(secret, basic('alice'))
  })

  const hostsToml = (authorization?: string) => {
    const host = `host."http://${site.mirror}"`
    const header =
      authorization === undefined ? '' : `[${host}.header]\n  Authorization = "${authorization}"\n`
    return `server = "http://${site.mirror}"\n[${host}]\n  capabilities = ["pull", "resolve"]\n${header}`
  }
})

describe('skopeo', () => {
  testWith(['skopeo'], 'is who its certificate says, and nobody with that of another authority', async () => {
    const home = await site.home()
    const copy = async (name: string, identity: typeof certified | undefined) => {
      const folder = join(home, `certs-${Math.random()}`)
      await mkdir(folder)
      await writeFile(join(folder, 'ca.crt'), loopbackCertificate.cert)
      if (identity) await writeFile(join(folder, 'client.cert'), identity.cert)
      if (identity) await writeFile(join(folder, 'client.key'), identity.key)
      const from = ['--all', `--src-cert-dir=${folder}`, `docker://${secure}/${name}`]
      return run('skopeo', ['--insecure-policy', 'copy', ...from, `dir:${folder}/pulled`], home)
    }
    await copy(secret, certified)
    await copy(open, undefined)
    await expect(copy(secret, undefined)).rejects.toThrow(/this needs a login/)
    await expect(copy(secret, carol)).rejects.toThrow(/this needs a login/) // Go shows none that the listener does not ask for
  })
})
