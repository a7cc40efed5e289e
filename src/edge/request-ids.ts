/** Names of requests, for the log and for who asks about one: UUIDs that cost little. */
import { randomUUID } from 'node:crypto'

/** The last two digits count, so that a random one is needed only each 256 requests. */
const endings = Array.from({ length: 256 }, (_, at) => at.toString(16).padStart(2, '0'))
let beginning = ''
let used = endings.length

export function nextRequestId(): string {
  if (used === endings.length) {
    beginning = randomUUID().slice(0, -2)
    used = 0
  }
  const id = `${beginning}${endings[used]}`
  used += 1
  return id
}
