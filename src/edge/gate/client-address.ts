/** Who asks, and by which name of ours: as the connection has it, or as proxies in front of us say. */
import type { IncomingMessage } from 'node:http'
import { isIP, type Socket } from 'node:net'
import ipaddr from 'ipaddr.js'
import type { Exchange } from '../exchange.ts'
import { type Hop, parseForwarded } from './forwarded.ts'

type Asking = Pick<IncomingMessage, 'headers' | 'socket'>
type Range = ReturnType<typeof ipaddr.parseCIDR>

/** What is said of us in an address that clients are to use. */
export interface PublicOrigin {
  readonly scheme: 'http' | 'https'
  /** With its port, where one was named. */
  readonly host: string
}

/** Proxies whose word is taken. */
export class Proxies {
  readonly #ranges: readonly Range[]
  /** Whether a connection is one of theirs. */
  readonly #known = new WeakMap<Socket, boolean>()

  /** @param ranges in CIDR notation */
  constructor(ranges: readonly string[]) {
    this.#ranges = ranges.map(plainRange)
  }

  /** Whether one of them passed the request on. */
  passedOn({ socket }: Pick<Asking, 'socket'>): boolean {
    const known = this.#known.get(socket)
    if (known !== undefined) return known
    const { remoteAddress = '' } = socket
    const isTheirs = this.trusts(plainAddress(remoteAddress) ?? '')
    this.#known.set(socket, isTheirs)
    return isTheirs
  }

  /** Of an address as `plainAddress` has it. */
  trusts(address: string): boolean {
    if (address === '') return false
    const ip = ipaddr.parse(address)
    return this.#ranges.some(([range, bits]) => range.kind() === ip.kind() && ip.match(range, bits))
  }
}

/** Those of the configuration as it is at the moment; undefined: no proxy is trusted. */
export function proxiesOf(
  config: () => { readonly trustedProxies: readonly string[] },
): () => Proxies | undefined {
  let ranges: readonly string[] = []
  let proxies: Proxies | undefined
  return () => {
    const { trustedProxies } = config()
    if (trustedProxies === ranges) return proxies
    ranges = trustedProxies
    proxies = ranges.length === 0 ? undefined : new Proxies(ranges)
    return proxies
  }
}

/**
 * The address of who asks: that of the connection, or behind trusted proxies the last one that is none of theirs. What
 * stands before something that is no address, anybody may have written: then it is the proxy that passed it on.
 *
 * @returns undefined once the connection is gone
 */
export function clientOf(request: Asking, proxies?: Proxies): string | undefined {
  const peer = unmapped(request.socket.remoteAddress)
  if (proxies === undefined || peer === undefined || !proxies.passedOn(request)) return peer
  let client = peer
  for (const hop of hopsOf(request).toReversed()) {
    const address = plainAddress(hop)
    if (address === undefined) break
    client = address
    if (!proxies.trusts(address)) break
  }
  return client
}

/** How clients reach us, in a request's own words: `localhost` for one that names no host. */
export function originOf({
  request,
  proxied,
  secure,
}: Pick<Exchange, 'request' | 'proxied' | 'secure'>): PublicOrigin {
  const { headers } = request
  const [outermost] = proxied ? parseForwarded(textOf(headers.forwarded)) : []
  const told = (name: string) => (proxied ? firstOf(textOf(headers[name])) : undefined)
  const scheme = (told('x-forwarded-proto') ?? outermost?.proto)?.toLowerCase()
  const hosts = [told('x-forwarded-host'), outermost?.host, headers.host]
  const host = hosts.find(isHost) ?? 'localhost'
  if (scheme === 'http' || scheme === 'https') return { scheme, host }
  return { scheme: secure ? 'https' : 'http', host }
}

/** From who asked to the last who passed it on; who writes both headers means the one that everybody writes. */
function hopsOf({ headers }: Asking): string[] {
  const listed = textOf(headers['x-forwarded-for'])
  if (listed !== '') return listed.split(',')
  return parseForwarded(textOf(headers.forwarded)).map((hop: Hop) => hop.for ?? '')
}

/** `10.0.0.1`, `10.0.0.1:4711`, `2001:db8::1`, `[2001:db8::1]:4711`, in one form for each. Undefined for what is none. */
export function plainAddress(text: string): string | undefined {
  const [, bracketed, dotted] =
    /^(?:\[([^\]]*)\](?::\d{1,5})?|(\d+\.\d+\.\d+\.\d+)(?::\d{1,5})?)$/.exec(text.trim()) ?? []
  const address = bracketed ?? dotted ?? text.trim()
  if (isIP(address) === 0 || address.includes('%')) return undefined // a zone means something on its own machine alone
  return ipaddr.process(address).toString()
}

/** As the system writes an IPv4 address that came to a socket for both. */
function unmapped(address: string | undefined): string | undefined {
  return address?.startsWith('::ffff:') ? address.slice('::ffff:'.length) : address
}

/** A range of IPv4 addresses may be written as one of IPv6. */
function plainRange(cidr: string): Range {
  const [range, bits] = ipaddr.parseCIDR(cidr)
  if (!(range instanceof ipaddr.IPv6) || !range.isIPv4MappedAddress() || bits < 96) return [range, bits]
  return [range.toIPv4Address(), bits - 96]
}

function firstOf(list: string): string | undefined {
  const [first = ''] = list.split(',')
  return first.trim() === '' ? undefined : first.trim()
}

function textOf(header: string | string[] | undefined): string {
  return String(header ?? '')
}

/** Nothing else may get into a header of ours, or into a URL. */
function isHost(text = ''): text is string {
  return /^[\w.:[\]-]+(?<!:)$/.test(text) && URL.canParse(`http://${text}/`)
}
