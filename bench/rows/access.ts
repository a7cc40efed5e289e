/** What access costs: a cached manifest for a hundred who have logged in beside one for nobody in particular, and a storm of wrong logins. */
import { writeFile } from 'node:fs/promises'
import { hash } from 'bcryptjs'
import { Child } from '../child.ts'
import type { Figure } from '../figure.ts'
import { median } from '../figure.ts'
import type { Layover } from '../layover.ts'
import { accept } from '../peers/shelf.ts'
import { clientCore, serverCore } from '../peers/stand.ts'
import { wrk } from '../peers/wrk.ts'
import { paired } from '../replicas/paired.ts'
import { pin } from '../server.ts'
import { registry, type Site } from '../site.ts'
import type { calls } from '../storm.ts'

/** Half of them send their password, half a token. */
const identities = 100
const path = `/v2/${registry}/bench/app/manifests/kept`
const password = 'correct horse'

const storm = { perSecond: 1_000, addresses: 100, seconds: 10, rounds: 5, asksPerSecond: 200 }
const storminess = 2

export async function access(site: Site): Promise<Figure[]> {
  await site.origin.call('addManifest', { tag: 'kept' })
  await using guarded = await startGuarded(site)
  await using open = await site.startLayover({ cores: serverCore })
  const logins = site.newPath()
  const all = await loginsAt(guarded)
  await writeFile(logins, all.join('\n'))
  for (const authorization of all) await letIn(guarded, authorization)
  const ratio = await paired(site, {
    what: `cached manifest by tag, ${identities} identities (Basic, Bearer) under CEL rules / anonymous, 32 connections`,
    unit: 'requests/s',
    goal: 0.8,
    rounds: 8,
    seconds: 2,
    one: guarded.url,
    other: open.url,
    load: (url, seconds) =>
      wrk({
        url: url + path,
        connections: 32,
        seconds,
        cores: clientCore,
        headers: accept,
        ...(url === guarded.url ? { logins } : {}),
      }),
  })
  return [ratio]
}

/** Latency of those who have logged in, with the storm beside them and without, in turn. */
export async function loginStorm(site: Site): Promise<Figure[]> {
  await site.origin.call('addManifest', { tag: 'kept' })
  await using layover = await startGuarded(site)
  const ask = {
    url: layover.url,
    paths: [path],
    headers: { Authorization: basic('user-0') },
    perSecond: storm.asksPerSecond,
    seconds: site.seconds(storm.seconds),
    connections: 8,
  }
  await site.client.call('steady', { ...ask, seconds: 1 })
  await using child = new Child<typeof calls>('storm.ts')
  for (const { pid } of [site.client, child]) pin(pid, clientCore)
  const ratios: { p50: number; p99: number }[] = []
  const times: string[] = []
  for (let round = 0; round < site.rounds(storm.rounds); round += 1) {
    const quiet = await site.client.call('steady', ask)
    const blowing = child.call('blow', { url: layover.url + path, ...storm, seconds: ask.seconds })
    const beside = await site.client.call('steady', ask)
    const { refused, limited, other } = await blowing
    if (beside.failed + quiet.failed + other > 0)
      throw new Error(`login storm: ${beside.failed} pulls failed, ${other} odd answers`)
    ratios.push({ p50: beside.p50Ms / quiet.p50Ms, p99: beside.p99Ms / quiet.p99Ms })
    times.push(
      `p50 ${beside.p50Ms.toFixed(2)}/${quiet.p50Ms.toFixed(2)}, p99 ${beside.p99Ms.toFixed(2)}/${quiet.p99Ms.toFixed(2)} ms, ${refused} × 401, ${limited} × 429 or 503`,
    )
  }
  const [p50, p99] = [median(ratios.map(({ p50 }) => p50)), median(ratios.map(({ p99 }) => p99))]
  const figure = {
    figure: `login storm, ${storm.perSecond}/s wrong from ${storm.addresses} addresses: latency of others' cached manifests / quiet`,
    goal: `≤ ${storminess}`,
    measured: `p50 ${p50.toFixed(2)}, p99 ${p99.toFixed(2)} (${times.join('; ')})`,
    reached: p50 <= storminess && p99 <= storminess,
  }
  return [figure]
}

async function startGuarded(site: Site): Promise<Layover> {
  const stored = await hash(password, 10)
  const users = Array.from({ length: identities }, (_, at) => ({ name: `user-${at}`, password: stored }))
  return site.startLayover({
    cores: serverCore,
    settings: () => ({
      access: {
        users,
        policy: {
          default: 'deny',
          rules: [
            { name: 'administrators', when: 'user == "admin" && client.inside("10.0.0.0/8")' },
            {
              name: 'teams push',
              when: 'action == "push" && repository.like("local/team/**") && user.startsWith("team-")',
            },
            { name: 'users pull', when: 'action == "pull" && authenticated && user.startsWith("user-")' },
          ],
        },
      },
    }),
  })
}

async function loginsAt({ url }: Layover): Promise<string[]> {
  const logins: string[] = []
  for (let at = 0; at < identities; at += 1) {
    const authorization = basic(`user-${at}`)
    logins.push(at % 2 === 0 ? authorization : `Bearer ${await tokenAt(url, authorization)}`)
  }
  return logins
}

async function tokenAt(url: string, authorization: string): Promise<string> {
  const scope = encodeURIComponent(`repository:${registry}/bench/app:pull`)
  const { host } = new URL(url)
  const answer = await fetch(`${url}/token?service=${host}&scope=${scope}`, { headers: { authorization } })
  if (!answer.ok) throw new Error(`no token: ${answer.status}`)
  return ((await answer.json()) as { token: string }).token
}

/** The first time a password costs what it is to cost. */
async function letIn({ url }: Layover, authorization: string): Promise<void> {
  const { status } = await fetch(url + path, { headers: { authorization } })
  if (status !== 200) throw new Error(`a login was answered ${status}`)
}

function basic(user: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
}
