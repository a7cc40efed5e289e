/** Who may write: until access is configured, only who sits at this machine. */
import type { IncomingMessage } from 'node:http'
import ipaddr from 'ipaddr.js'
import { RegistryError } from '../../oci/errors.ts'
import type { Exchange } from '../exchange.ts'

/** Set by proxies, which make a remote client look like a local one, and by browsers on behalf of a page. */
const onBehalf =
  /^(?:forwarded|via|cdn-loop|x-(?:forwarded|original)(?:-.*)?|x-real-ip|(?:cf-connecting|true-client|x-client|x-cluster-client)-ip|origin)$/

type Asking = Pick<Exchange, 'request' | 'client'> & Partial<Pick<Exchange, 'proxied'>>

/** @throws RegistryError DENIED (403) */
export function assertMayWrite(asking: Asking): void {
  const reason = whyNotFromHere(asking)
  if (reason === undefined) return
  throw new RegistryError(
    'DENIED',
    `until access is configured, pushes and deletes are taken from the machine of the registry alone, under the name localhost or a loopback address; ${reason}`,
  )
}

/** Undefined for who sits at this machine: no page in a browser can be led to ask so, nor anybody behind a proxy. */
export function whyNotFromHere({ request, client: peer = '', proxied }: Asking): string | undefined {
  const { headers, httpVersion } = request
  if (proxied) return 'this request was passed on by a proxy (trustedProxies)' // whoever the client says it is
  if (!isLoopback(peer)) return `this request comes from ${peer}`
  const hosts = hostsIn(request)
  if (hosts.length === 0 || !hosts.every(host => isLoopback(hostName(host))))
    return 'this request names another host: use localhost or 127.0.0.1'
  if (httpVersion === '1.0') return 'this request speaks HTTP/1.0, as proxies do'
  const header = Object.keys(headers).find(name => onBehalf.test(name))
  return header === undefined ? undefined : `this request was passed on by somebody (${header})`
}

/** Every one of them: who passed it on may have gone by another than we would. */
function hostsIn({ headersDistinct: { host = [] }, url = '' }: IncomingMessage): readonly string[] {
  const authority = /^https?:\/\/([^/?]*)/i.exec(url)?.[1]
  return authority === undefined ? host : [...host, authority]
}

/** `host` or `host:port`, the host perhaps an address in brackets. */
function hostName(host: string): string {
  return host.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1')
}

export function isLoopback(name: string): boolean {
  if (name.toLowerCase() === 'localhost') return true
  if (!ipaddr.isValid(name) || !isCanonical(name)) return false
  return ipaddr.process(name).range() === 'loopback'
}

/** Forms such as `0177.1` mean one address here and perhaps another elsewhere. */
function isCanonical(name: string): boolean {
  return name.includes(':') || ipaddr.IPv4.isValidFourPartDecimal(name)
}
