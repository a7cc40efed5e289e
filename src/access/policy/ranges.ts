/** Whether an address is of a range, whichever way either is written. */
import { EvaluationError } from '@marcbachmann/cel-js'
import ipaddr from 'ipaddr.js'
import { LRUCache } from 'lru-cache'

type Address = ipaddr.IPv4 | ipaddr.IPv6
type Range = readonly [Address, number]

const mappedBits = 96

/** Written in rules, and thus few. */
const ranges = new Map<string, Range>()

/** Several rules look at the address of one client, who asks again: reading it is what takes longest. */
const addresses = new LRUCache<string, Address>({ max: 2_048 })

/** An IPv4 address in an IPv6 one is itself. @throws EvaluationError for what is no address: nothing can be said of it then */
export function isInside(text: string, cidr: string): boolean {
  const [range, bits] = rangeOf(cidr)
  const address = addressOf(text)
  return address.kind() === range.kind() && address.match(range, bits)
}

/** Undefined for what is no range. */
export function parseRange(cidr: string): Range | undefined {
  if (!ipaddr.isValidCIDR(cidr)) return undefined
  const [address, bits] = ipaddr.parseCIDR(cidr)
  return address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() && bits >= mappedBits
    ? [address.toIPv4Address(), bits - mappedBits]
    : [address, bits]
}

function rangeOf(cidr: string): Range {
  const range = ranges.get(cidr) ?? parseRange(cidr)
  if (!range) throw failure('no_address_range')
  ranges.set(cidr, range)
  return range
}

function addressOf(text: string): Address {
  const known = addresses.get(text)
  if (known) return known
  if (!ipaddr.isValid(text)) throw failure('no_address')
  const address = ipaddr.process(text)
  addresses.set(text, address)
  return address
}

function failure(code: string): EvaluationError {
  return new EvaluationError({ code, message: code })
}
