/** Name resolution as the program takes it, so that tests can bring hosts of their own. */
import { lookup } from 'node:dns/promises'

export interface Address {
  address: string
  family: 4 | 6
}

/** Every address of a host name, in the order to try them. Rejects with a DNS error (`ENOTFOUND`, `EAI_AGAIN`). */
export type Lookup = (hostname: string) => Promise<readonly Address[]>

export const systemLookup: Lookup = async hostname => {
  const found = await lookup(hostname, { all: true, verbatim: true })
  return found.map(({ address, family }) => ({ address, family: family === 6 ? 6 : 4 }))
}
