/** Real clients at a registry that wants logins, after either challenge: strangers, wrong passwords, who may pull and who may push. */
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { password } from '../../support/access.ts'
import { startContainerd } from '../containerd.ts'
import { testWith } from '../tools.ts'
import { type Client, clients, ctrOf, type Login } from './clients.ts'
import { GuardedSite, open, secret } from './guarded-site.ts'

const alice = { user: 'alice', password }
const mallory = { user: 'mallory', password }
const guess = { user: 'alice', password: 'guess' }

const needsLogin = /401|unauthorized|basic auth|basic credential/i

describe.each(['bearer', 'basic'] as const)('after a challenge of %s', challenge => {
  let site: GuardedSite
  beforeAll(async () => {
    site = await GuardedSite.start({ challenge })
  })
  afterAll(() => site[Symbol.asyncDispose]())

  for (const [name, client] of Object.entries(clients))
    testWith(client.tools, `${name} does what its user may, and says why not`, () =>
      expectGuarded(client, name.toLowerCase()),
    )

  testWith(['containerd', 'ctr'], 'ctr does what its user may, and says why not', async () => {
    await using containerd = await startContainerd(await site.home())
    await expectGuarded(ctrOf(containerd, `${site.address}/${open}`), 'ctr')
  })

  async function expectGuarded(client: Client, name: string): Promise<void> {
    const as = async (login?: Login) => {
      const visitor = await site.visitor(login)
      if (login) await client.logIn(visitor, login)
      return {
        pull: (what: string) => client.pull(visitor, what),
        push: (what: string) => client.push(visitor, what),
      }
    }
    const own = `local/team/${name}:1.0`
    const shown = `local/open/${name}:1.0`
    const stranger = await as()
    if (client.stopsAtBasic && challenge === 'basic')
      await expect(stranger.pull(open)).rejects.toThrow(needsLogin)
    else if (name !== 'helm') await stranger.pull(open)
    await expect(stranger.pull(secret)).rejects.toThrow(needsLogin)
    await expect(stranger.push(shown)).rejects.toThrow(needsLogin)
    await expect(as(guess).then(at => at.pull(secret))).rejects.toThrow(/401|unauthorized|wrong|invalid/i)
    const first = await as(alice)
    for (const each of [own, shown]) {
      await first.push(each)
      await first.pull(each)
    }
    const second = await as(mallory)
    await second.pull(own)
    if (!client.hangsAtManifest)
      await expect(second.push(own.replace('1.0', '2.0'))).rejects.toThrow(
        /mallory may not push here|unexpected 403/,
      )
    await expect(second.push(`local/new/${name}:1.0`)).rejects.toThrow(/403|denied/i)
  }
})

describe('under the policy anonymous-pull', () => {
  let site: GuardedSite
  beforeAll(async () => {
    site = await GuardedSite.start({ policy: 'anonymous-pull' })
  })
  afterAll(() => site[Symbol.asyncDispose]())

  const { helm: _, ...others } = clients // it pulls charts alone
  for (const [name, client] of Object.entries(others))
    testWith(client.tools, `${name} pulls without a login, and pushes with one`, async () => {
      const pushed = `local/team/${name.toLowerCase()}:1.0`
      const stranger = await site.visitor()
      await client.pull(stranger, secret)
      await expect(client.push(stranger, pushed)).rejects.toThrow(needsLogin)
      const visitor = await site.visitor(mallory)
      await client.logIn(visitor, mallory)
      await client.push(visitor, pushed)
      await client.pull(stranger, pushed)
    })
})
