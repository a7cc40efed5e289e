/** Layover in front of the stand-in internet, and a plain client that sends what it is told and hides nothing of the answer. */
import { once } from 'node:events'
import { type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http'
import { request as requestTls } from 'node:https'
import { expect, vi } from 'vitest'
import type { UpstreamConfig } from '../../src/config/config.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import type { StoredBlob } from '../fake/bytes.ts'
import { caCertificate } from '../fake/certificates.ts'
import { FakeClock } from '../fake/clock.ts'
import type { Bundle } from '../fake/content.ts'
import type { HostName } from '../fake/hosts.ts'
import { type Internet, startInternet } from '../fake/internet.ts'
import type { LoggedRequest } from '../fake/request-log.ts'
import { startTestLayover, type UpstreamSetting, upstream } from '../support/layover.ts'

type Setting = Partial<Omit<Parameters<typeof startTestLayover>[0], 'upstreams' | 'clock' | 'lookup'>>

export interface SceneSetting extends Setting {
  upstreams?: (net: Internet) => readonly UpstreamConfig[]
  /** Time passes by itself: for what waits between tries. */
  realTime?: boolean
}

export type Scene = Awaited<ReturnType<typeof scene>>

/** Docker Hub as the default upstream, unless told otherwise. */
export async function scene({
  upstreams = net => [hub(net)],
  realTime = false,
  ...setting
}: SceneSetting = {}) {
  const clock = new FakeClock()
  const net = await startInternet({ clock: realTime ? systemClock : clock })
  const layover = await startTestLayover({
    ...setting,
    clock: net.clock,
    lookup: net.lookup,
    upstreams: upstreams(net),
  })
  return {
    net,
    clock,
    layover,
    ask: (path: string, options?: AskOptions) => ask(layover.url, path, options),
    open: (path: string, options?: AskOptions) => open(layover.url, path, options),
    /** Resolves when these are kept, so that they are answered from here; and forgets what upstream was asked for it. */
    async warm(...paths: readonly string[]) {
      for (const path of paths) await untilHit(layover.url, path)
      net.clearRequests()
    },
    async [Symbol.asyncDispose]() {
      await net.close()
      await layover[Symbol.asyncDispose]()
    },
  }
}

export function hub(net: Internet, setting: Partial<UpstreamSetting> = {}): UpstreamConfig {
  return upstream({
    registry: 'docker.io',
    url: net.url('registry.hub.test'),
    aliases: ['index.docker.io', 'registry-1.docker.io'],
    isDefault: true,
    ...setting,
  })
}

/** A registry without tokens or redirects, as the default upstream. */
export function plain(net: Internet, setting: Partial<UpstreamSetting> = {}): UpstreamConfig {
  return upstream({ registry: 'plain.example', url: net.url('plain.test'), isDefault: true, ...setting })
}

export interface AskOptions {
  method?: string
  headers?: Record<string, string>
  body?: Buffer
}

export interface Answered {
  status: number
  headers: IncomingHttpHeaders
  body: Buffer
}

/** Sends the path as it is: no normalisation, no redirects, no challenge answered. */
export async function ask(base: string, path: string, options: AskOptions = {}): Promise<Answered> {
  const reply = await open(base, path, options)
  const chunks: Buffer[] = []
  for await (const chunk of reply) chunks.push(chunk as Buffer)
  return { status: reply.statusCode ?? 0, headers: reply.headers, body: Buffer.concat(chunks) }
}

/** Whom a client of a registry over TLS trusts. */
export const trust = { ca: caCertificate, servername: 'tls.test' }

/** Resolves at the headers. */
export async function open(base: string, path: string, options: AskOptions = {}): Promise<IncomingMessage> {
  const { protocol, hostname, port } = new URL(base)
  const { method = 'GET', headers = {}, body } = options
  const asked = { hostname, port, path, method, headers, agent: false }
  const outgoing = protocol === 'https:' ? requestTls({ ...asked, ...trust }) : request(asked)
  outgoing.on('error', () => {}) // a server that answers early may stop reading; before the answer `once` rejects
  outgoing.end(body)
  const [reply] = (await once(outgoing, 'response')) as [IncomingMessage]
  return reply
}

export interface OciError {
  code: string
  message: string
  detail?: { upstream?: string; failure?: string; status?: number }
}

/** The one error of an answer in the form of the distribution specification. */
export function errorOf({ headers, body }: Answered): OciError {
  expect(headers['content-type']).toBe('application/json')
  const { errors } = JSON.parse(body.toString()) as { errors: OciError[] }
  expect(errors).toHaveLength(1)
  const [error] = errors
  if (!error) throw new Error('no error in the body')
  expect(error.code).toMatch(/^[A-Z_]+$/)
  expect(error.message).not.toBe('')
  return error
}

/** `GET registry.hub.test /v2/…` for everything that was asked, tokens apart. */
export function asked(net: Internet, host?: HostName): string[] {
  return net
    .requests(host === undefined ? {} : { host })
    .filter(({ host: at }) => at !== 'auth.hub.test')
    .map(lineOf)
}

function lineOf({ method, host, path }: LoggedRequest): string {
  return `${method} ${host} ${path}`
}

/** The image's layer of this number; its config comes first among the blobs. */
export function layerOf({ blobs }: Bundle, number = 0): StoredBlob {
  const blob = blobs[number + 1]
  if (!blob) throw new Error(`the bundle has no layer ${number}`)
  return blob
}

/** An object is kept a little after it was answered, and its flight ends when everything about it is written down. */
async function untilHit(base: string, path: string): Promise<void> {
  await vi.waitFor(async () => {
    const { status, headers } = await ask(base, path)
    expect([path, status, headers['cache-status']]).toEqual([path, 200, 'layover; hit'])
    const { body } = await ask(base, '/metrics')
    expect(body.toString()).not.toMatch(/^layover_flights\{.*\} [1-9]/m)
  })
}
