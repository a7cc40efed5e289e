/** Layover with access, a local namespace and one upstream, and requests as somebody. */
import { expect, onTestFinished } from 'vitest'
import type { AccessOptions } from '../../../src/access/options.ts'
import { digestOf } from '../../../src/oci/digest.ts'
import { image } from '../../fake/content.ts'
import { accessOptions, basic } from '../../support/access.ts'
import { type Sending, send } from '../push/scene.ts'
import { type Answered, ask, plain, type SceneSetting, scene } from '../scene.ts'

export const app = image('app', { layers: [1024] })
export const pushed = Buffer.from('a layer of ours')

/** What is told or known a moment later: on a busy machine the moment is long. */

/** As the upstream has it. */
export const manifest = '/v2/plain.example/app/manifests/v1'

/** Ends with the test. */
export async function start(
  access: Partial<AccessOptions> = {},
  setting: SceneSetting = {},
): Promise<Guarded> {
  const at = await guarded(access, setting)
  onTestFinished(() => at[Symbol.asyncDispose]())
  return at
}

export type Guarded = Awaited<ReturnType<typeof guarded>>

export async function guarded(access: Partial<AccessOptions> = {}, setting: SceneSetting = {}) {
  const at = await scene({
    realTime: true,
    upstreams: net => [plain(net)],
    access: accessOptions(access),
    ...setting,
  })
  at.net.plain.put('app', 'v1', app)
  at.net.plain.put('secret/app', 'v1', app)
  const as = (user: string | undefined, path: string, { headers, ...sending }: Sending = {}) =>
    send(at.layover.url, path, {
      ...sending,
      headers: { ...headers, ...(user === undefined ? {} : { authorization: authorizationOf(user) }) },
    })
  return {
    ...at,
    as,
    /** What is none of the distribution API's. */
    page: (user: string | undefined, path: string) =>
      ask(at.layover.url, path, {
        headers: user === undefined ? {} : { authorization: authorizationOf(user) },
      }),
    push: (user: string | undefined, repository: string, body = pushed) =>
      as(user, `/v2/${repository}/blobs/uploads/?digest=${digestOf(body)}`, { method: 'POST', body }),
    audits: () => at.layover.lines.filter(({ msg }) => msg === 'audit'),
  }
}

/** A user's name, or a whole header. */
function authorizationOf(user: string): string {
  return user.includes(' ') ? user : basic(user)
}

export interface Challenged {
  readonly realm: string
  readonly scope: string | undefined
  readonly error: string | undefined
}

export function challengeIn({ status, headers }: Answered): Challenged {
  expect(status).toBe(401)
  const text = String(headers['www-authenticate'])
  const value = (name: string) => new RegExp(`${name}="([^"]*)"`).exec(text)?.[1]
  return { realm: value('realm') ?? '', scope: value('scope'), error: value('error') }
}

/** The token that the realm gives for the scope. */
export async function tokenAt(realm: string, scope: string, authorization?: string): Promise<string> {
  const url = new URL(realm)
  if (scope !== '') url.searchParams.set('scope', scope)
  const answer = await fetch(url, authorization === undefined ? {} : { headers: { authorization } })
  expect(answer.status).toBe(200)
  return ((await answer.json()) as { token: string }).token
}
