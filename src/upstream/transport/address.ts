/** Which addresses may be connected to: an upstream must not be able to point us at our own network. */
import type { LookupFunction } from 'node:net'
import ipaddr from 'ipaddr.js'
import type { Lookup } from '../../runtime/lookup.ts'

/** `own`: a host of the configuration. `foreign`: one that an upstream named, as realm or in a redirect. */
export type Ownership = 'own' | 'foreign'
export type AddressRule = (address: string, host: Ownership) => boolean

type Ip = ipaddr.IPv4 | ipaddr.IPv6
type Cidr = [Ip, number]

/** Link-local, and where clouds serve credentials to whoever asks: AWS, Alibaba, Azure, Oracle, Google. */
const metadata = [
  '169.254.0.0/16',
  'fe80::/10',
  'fd00:ec2::/32',
  '100.100.100.200/32',
  '168.63.129.16/32',
  '192.0.0.192/32',
  'fd20:ce::254/128',
  'fd00:c1::a9fe:a9fe/128',
].map(cidr => ipaddr.parseCIDR(cidr))

const localTranslators = [ipaddr.parseCIDR('64:ff9b:1::/48')]

export class AddressRefused extends Error {
  override readonly name = 'AddressRefused'
  readonly code = 'EADDRREFUSED'
}

export function createAddressRule(allowPrivate: readonly string[]): AddressRule {
  const allowed = allowPrivate.map(cidr => ipaddr.parseCIDR(cidr))
  return (address, host) => {
    if (!ipaddr.isValid(address)) return false
    const forms = unwrap(ipaddr.parse(address))
    if (forms.some(form => isIn(form, metadata))) return false
    if (host === 'own') return true
    return forms.some(form => isIn(form, allowed)) || forms.every(form => form.range() === 'unicast')
  }
}

/** @throws AddressRefused for a literal address in the URL that the rule forbids; names are checked when connecting */
export function assertLiteral(url: URL, host: Ownership, rule: AddressRule): void {
  const literal = url.hostname.replace(/^\[(.*)\]$/, '$1')
  if (ipaddr.isValid(literal) && !rule(literal, host)) throw refusal(url.host, host)
}

/** A resolver that gives a socket only the addresses allowed, at the moment of connecting: no rebinding. */
export function guardedLookup(lookup: Lookup, host: Ownership, rule: AddressRule): LookupFunction {
  return (hostname, options, callback) => {
    const answer = async () => {
      const found = await lookup(hostname)
      const usable = found.filter(({ address }) => rule(address, host))
      const [first] = usable
      if (!first) throw refusal(hostname, host)
      return { usable, first }
    }
    answer().then(
      ({ usable, first }) => {
        if (options.all) callback(null, usable)
        else callback(null, first.address, first.family)
      },
      (error: Error) => callback(error, ''),
    )
  }
}

function refusal(host: string, ownership: Ownership): AddressRefused {
  return new AddressRefused(
    ownership === 'own'
      ? `${host} is a link-local or metadata address, which is never asked`
      : `${host} was named by the upstream and is not a public address; allowPrivate can allow it`,
  )
}

function isIn(address: Ip, ranges: readonly Cidr[]): boolean {
  return ranges.some(([range, bits]) => address.kind() === range.kind() && address.match(range, bits))
}

/** The address, or the IPv4 addresses that a translator, a relay or the kernel would really send it to. */
function unwrap(address: Ip): Ip[] {
  if (!(address instanceof ipaddr.IPv6)) return [address]
  const bytes = address.toByteArray()
  const range = address.range()
  if (range === '6to4') return embedded(bytes, 2)
  // A translator of somebody's own (RFC 8215): what is embedded counts, and the address is not public either.
  if (isIn(address, localTranslators)) return [address, ...embedded(bytes, 12)]
  if (range === 'ipv4Mapped' || range === 'rfc6145' || range === 'rfc6052' || isIpv4Compatible(bytes)) {
    return embedded(bytes, 12)
  }
  return [address]
}

function embedded(bytes: readonly number[], at: number): Ip[] {
  return [ipaddr.fromByteArray(bytes.slice(at, at + 4))]
}

/** `::a.b.c.d`, long deprecated; `::` and `::1` are themselves. */
function isIpv4Compatible(bytes: readonly number[]): boolean {
  return bytes.slice(0, 12).every(byte => byte === 0) && bytes.slice(12, 14).some(byte => byte !== 0)
}
