/** Every operation, in every mode, for who shows nothing, something wrong, something right, and something right that may not. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { AccessOptions } from '../../../src/access/options.ts'
import { accessOptions, basic, issuerOptions, password, rules } from '../../support/access.ts'
import { startIssuer, type TestIssuer } from '../../support/issuer.ts'
import { type Answered, ask, plain, type Scene, scene } from '../scene.ts'
import { type Sample, samples } from './samples.ts'

const names = ['local/team/app', 'plain.example/team/app']
const all = names.flatMap(name => samples(name))

interface Mode {
  readonly access: (issuer: TestIssuer) => Partial<AccessOptions>
  /** The Authorization header of somebody, for one request. */
  readonly shown: (who: 'alice' | 'mallory', at: At) => string | Promise<string>
  readonly wrong: string
  readonly challenge: RegExp
}

interface At {
  readonly url: string
  readonly issuer: TestIssuer
  readonly sample: Sample
}

const audience = 'layover'
const oidc = (issuer: TestIssuer): Partial<AccessOptions> => ({
  users: [],
  oidc: [issuerOptions(issuer)],
  policy: rules('user == "ci:alice"'),
})

const modes: Record<string, Mode> = {
  'Basic, asked for': {
    access: () => ({ challenge: 'basic' }),
    shown: who => basic(who),
    wrong: basic('alice', 'guess'),
    challenge: /^Basic realm=/,
  },
  'Basic, where tokens are asked for': {
    access: () => ({}),
    shown: who => basic(who),
    wrong: basic('nobody'),
    challenge: /^Bearer realm=/,
  },
  'a registry token': {
    access: () => ({}),
    shown: async (who, at) => `Bearer ${await tokenFor(who, at)}`,
    wrong: 'Bearer eyJhbGciOiJub25lIn0.e30.',
    challenge: /^Bearer realm=/,
  },
  'an OIDC token': {
    access: oidc,
    shown: async (who, { issuer }) => `Bearer ${await issuer.token({ sub: who, aud: audience })}`,
    wrong: 'Bearer abc',
    challenge: /^Bearer realm=/,
  },
  'an OIDC token as password': {
    access: oidc,
    shown: async (who, { issuer }) => basic('ci', await issuer.token({ sub: who, aud: audience })),
    wrong: basic('ci', 'abc'),
    challenge: /^Bearer realm=/,
  },
}

/** With the scope that its challenge asks for. */
async function tokenFor(who: string, { url, sample }: At): Promise<string> {
  const { headers } = await send(url, sample)
  const challenge = String(headers['www-authenticate'])
  const [, realm = ''] = /realm="([^"]+)"/.exec(challenge) ?? []
  const asked = new URL(realm)
  for (const name of ['service', 'scope']) {
    const value = new RegExp(`${name}="([^"]+)"`).exec(challenge)?.[1]
    if (value !== undefined) asked.searchParams.set(name, value)
  }
  const answer = await fetch(asked, { headers: { authorization: basic(who, password) } })
  expect(answer.status).toBe(200)
  return ((await answer.json()) as { token: string }).token
}

function send(url: string, { method, path, body, contentType }: Sample, authorization?: string) {
  return ask(url, path, {
    method,
    ...(body === undefined ? {} : { body }),
    headers: {
      ...(body === undefined ? {} : { 'content-length': String(body.length) }),
      ...(contentType === undefined ? {} : { 'content-type': contentType }),
      ...(authorization === undefined ? {} : { authorization }),
    },
  })
}

const told = ({ method, path }: Sample) => `${method} ${path}`

/** What is wrong about the answers, request by request. */
async function complaints(
  request: (sample: Sample) => Promise<Answered>,
  isWrong: (answer: Answered, sample: Sample) => boolean,
  of: readonly Sample[] = all,
): Promise<string[]> {
  const wrong: string[] = []
  for (const sample of of) {
    const answer = await request(sample)
    if (isWrong(answer, sample)) wrong.push(`${told(sample)}: ${answer.status} ${answer.body.toString()}`)
  }
  return wrong
}

const isRefusal = ({ status }: Answered) => status === 401 || status === 403

for (const [name, mode] of Object.entries(modes)) {
  describe(name, () => {
    let at: Scene
    let issuer: TestIssuer
    beforeAll(async () => {
      issuer = await startIssuer()
      at = await scene({
        realTime: true,
        upstreams: net => [plain(net)],
        access: accessOptions(mode.access(issuer)),
      })
    })
    afterAll(async () => {
      await at[Symbol.asyncDispose]()
      await issuer[Symbol.asyncDispose]()
    })
    const shownBy = (who: 'alice' | 'mallory') => async (sample: Sample) =>
      send(at.layover.url, sample, await mode.shown(who, { url: at.layover.url, issuer, sample }))

    test('who shows nothing is challenged', async () => {
      const isWrong = (answer: Answered) =>
        answer.status !== 401 || !mode.challenge.test(String(answer.headers['www-authenticate']))
      expect(await complaints(sample => send(at.layover.url, sample), isWrong)).toEqual([])
      expect(at.net.requests({})).toEqual([])
    })

    test('what is wrong is refused', async () => {
      const isWrong = (answer: Answered) =>
        answer.status !== 401 || !mode.challenge.test(String(answer.headers['www-authenticate']))
      expect(await complaints(sample => send(at.layover.url, sample, mode.wrong), isWrong)).toEqual([])
      expect(at.net.requests({})).toEqual([])
    })

    test('who is somebody else gets 403, but for the ping', async () => {
      // A token of theirs is for nothing: a larger one could be asked for, and would be for nothing too.
      const isWrong = (answer: Answered, { action }: Sample) =>
        action === undefined ? answer.status !== 200 : answer.status !== 403
      expect(await complaints(shownBy('mallory'), isWrong)).toEqual([])
      expect(at.net.requests({})).toEqual([])
    })

    test('who may is let in', async () => {
      expect(await complaints(shownBy('alice'), isRefusal)).toEqual([])
    })
  })
}
