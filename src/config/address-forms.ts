/** The forms in which the configuration names hosts, addresses and URLs. Each parser throws FormInvalid. */
import ipaddr from 'ipaddr.js'
import type { ListenAddress } from '../edge/listener.ts'
import { isLoopback } from '../edge/writes/access.ts'

/** Its message completes "…: expected …". */
export class FormInvalid extends Error {
  override readonly name = 'FormInvalid'
}

const label = '[a-z0-9](?:[a-z0-9-]*[a-z0-9])?'
const hostGrammar = new RegExp(String.raw`^(?:${label}(?:\.${label})*|\[[0-9a-f:.]+\])(?::(\d{1,5}))?$`)

/** `host` or `host:port`, as clients name a registry. */
export function parseHost(text: string): string {
  if (hostGrammar.test(text.toLowerCase()) && text !== text.toLowerCase())
    throw new FormInvalid('a name in lower case')
  const match = hostGrammar.exec(text)
  if (!match || !isPort(match[1] ?? '1'))
    throw new FormInvalid('a host such as ghcr.io or registry.corp.example:5000, without https://')
  return text
}

export function parseListen(text: string): Pick<ListenAddress, 'host' | 'port'> {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(text)
  const [, v6, host = v6 ?? '', port = ''] = match ?? []
  const isAddress = v6 === undefined || ipaddr.IPv6.isValid(v6)
  if (!match || !isAddress || Number(port) > 65_535)
    throw new FormInvalid('an address and a port, such as 0.0.0.0:8080 or [::]:8080')
  return { host, port: Number(port) }
}

/** Undefined: `off`. */
export function parseAdminListen(text: string): Pick<ListenAddress, 'host' | 'port'> | undefined {
  if (text === 'off') return undefined
  const address = parseListen(text)
  if (isLoopback(address.host)) return address
  throw new FormInvalid(
    'a loopback address such as 127.0.0.1:8081 or [::1]:8081, or off: whoever reaches the admin API may do everything, since access control is not built yet',
  )
}

/** The URL of a registry, without a trailing slash. */
export function parseRegistryUrl(text: string): string {
  const url = parseHttpUrl(text, 'https://registry.corp.example')
  if (url.username !== '' || url.password !== '') {
    throw new FormInvalid('a URL without a user and password; put them under `credentials`')
  }
  if (/\/v2\/*$/.test(url.pathname)) throw new FormInvalid('a URL without /v2 at its end; Layover adds it')
  return withoutSlash(url)
}

export function parsePublicUrl(text: string): string {
  const url = parseHttpUrl(text, 'https://registry.corp.example')
  if (url.username !== '' || url.password !== '') throw new FormInvalid('a URL without a user and password')
  return withoutSlash(url)
}

/** Where replicas speak to each other: an address, without a path. */
export function parseReplicaUrl(text: string): string {
  const url = parseHttpUrl(text, 'http://10.0.0.3:8080')
  if (url.username === '' && url.password === '' && url.pathname === '/') return url.origin
  throw new FormInvalid('a URL such as http://10.0.0.3:8080, without a user, a password or a path')
}

/** Of somebody who decides about access. What it has to know it is told in the question. */
export function parseWebhookUrl(text: string): string {
  const url = parseHttpUrl(text, 'https://opa.corp.example/v1/data/layover/allow')
  if (url.username === '' && url.password === '') return url.href
  throw new FormInvalid('a URL without a user and password; put a secret under `token`')
}

/** A user and a password may stand in it: there is no other place for them. */
export function parseProxyUrl(text: string): string {
  return parseHttpUrl(text, 'http://proxy.corp.example:3128').href
}

export function parseCidr(text: string): string {
  if (ipaddr.isValid(text))
    throw new FormInvalid(
      `an address range; for this one address write ${text}/${text.includes(':') ? 128 : 32}`,
    )
  if (!ipaddr.isValidCIDR(text)) throw new FormInvalid('an address range such as 10.0.0.0/8 or fd00::/8')
  return text
}

function parseHttpUrl(text: string, example: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const isPlain = url?.search === '' && url.hash === ''
  if (!isPlain || !['http:', 'https:'].includes(url.protocol))
    throw new FormInvalid(`a URL such as ${example}`)
  return url
}

function withoutSlash(url: URL): string {
  let end = url.href.length
  while (url.href[end - 1] === '/') end -= 1
  return url.href.slice(0, end)
}

function isPort(text: string): boolean {
  const port = Number(text)
  return port >= 1 && port <= 65_535
}
