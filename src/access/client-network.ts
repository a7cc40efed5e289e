/** What counts as one client: an IPv4 address, or the network of 64 bits that a site gives one host of IPv6. */
import ipaddr from 'ipaddr.js'
import { latest } from '../runtime/latest.ts'

const networkBytes = 8
const maxKnown = 10_000
const known = latest<string, string>(maxKnown)

/** @param client an address; what is none stands for itself */
export function networkOf(client: string): string {
  if (!client.includes(':')) return client
  const found = known.get(client) ?? networkOfIpv6(client)
  known.set(client, found)
  return found
}

function networkOfIpv6(client: string): string {
  if (!ipaddr.isValid(client)) return client
  const address = ipaddr.process(client)
  if (!(address instanceof ipaddr.IPv6)) return address.toString()
  const network = address.toByteArray().fill(0, networkBytes)
  return `${ipaddr.fromByteArray(network).toString()}/64`
}
