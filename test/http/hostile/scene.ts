/** An upstream with a password, that a test has do whatever it likes; and every way of asking it for something. */
import { image } from '../../fake/content.ts'
import type { FaultSpec } from '../../fake/fault.ts'
import type { Internet } from '../../fake/internet.ts'
import { type Answered, plain, type Scene, scene } from '../scene.ts'

export const bundle = image('hostile')
export const password = 'planted-password-of-bob'
const [blob = bundle.root] = bundle.blobs

/** A path of each kind of object, and how it is asked for. */
export const kinds = {
  'a manifest by tag': ['GET', '/v2/team/app/manifests/v1'],
  'a HEAD of a tag': ['HEAD', '/v2/team/app/manifests/v1'],
  'a manifest by digest': ['GET', `/v2/team/app/manifests/${bundle.root.digest}`],
  'a blob': ['GET', `/v2/team/app/blobs/${blob.digest}`],
  'a HEAD of a blob': ['HEAD', `/v2/team/app/blobs/${blob.digest}`],
  tags: ['GET', '/v2/team/app/tags/list'],
  referrers: ['GET', `/v2/team/app/referrers/${bundle.root.digest}`],
} as const

export type Kind = keyof typeof kinds
export const everyKind = Object.keys(kinds) as Kind[]

/** Of what is no token. */
export const content = /^\/v2\//

/** @param allowPrivate where realms and redirects may lead: without it, nowhere in the stand-in internet */
export async function hostile({ allowPrivate = ['127.0.0.0/8'] }: { allowPrivate?: string[] } = {}) {
  const at = await scene({
    upstreams: net => {
      const credentials = { kind: 'basic', username: 'bob', password } as const
      const urls = [{ url: net.url('plain.test'), credentials }]
      return [plain(net, { options: { urls, access: 'shared', allow: ['**'], allowPrivate } })]
    },
  })
  at.net.plain.put('team/app', 'v1', bundle)
  return {
    ...at,
    /** Time passes while it is waited for: between tries there are pauses. */
    get: async (kind: Kind, headers: Record<string, string> = {}): Promise<Answered> => {
      const [method, path] = kinds[kind]
      const passing = setInterval(() => at.clock.advance(1_000), 2)
      return at.ask(path, { method, headers }).finally(() => clearInterval(passing))
    },
    /** What upstream answers to everything, until it is switched off. */
    answers: (spec: FaultSpec) => at.net.fault({ host: 'plain.test', path: content, ...spec }),
    /** 401 to whoever brings nothing. */
    challenges: (challenge: string, more: Record<string, string> = {}) =>
      at.net.fault({
        host: 'plain.test',
        path: content,
        authorized: false,
        kind: 'status',
        status: 401,
        headers: { 'www-authenticate': challenge, ...more },
      }),
  }
}

export type Hostile = Awaited<ReturnType<typeof hostile>>

/** Requests that carry the password in whatever form, and where they went. */
export function betrayals(net: Internet): string[] {
  const forms = [password, Buffer.from(`bob:${password}`).toString('base64'), encodeURIComponent(password)]
  return net
    .requests()
    .filter(request =>
      forms.some(form => JSON.stringify(request.headers).includes(form) || request.path.includes(form)),
    )
    .map(({ host, path }) => `${host} ${path}`)
}

/** Hosts that were asked for anything. */
export function hostsAsked({ net }: Pick<Scene, 'net'>): string[] {
  return [...new Set(net.requests().map(({ host }) => host))]
}
