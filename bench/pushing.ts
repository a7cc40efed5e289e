/** The cheapest pushers: bare sockets, one request on each, bodies that are in memory already. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { Content, type ContentSpec, MiB } from './content.ts'
import { nowMs } from './monotonic.ts'

/** Nothing that is pushed here should take longer. */
const longestMs = 120_000

export interface Push {
  /** Of the last answer; 0: none came. */
  status: number
  startedMs: number
  /** When the kernel had taken the last byte of the body. */
  sentMs: number
  endedMs: number
}

/** `session`: POST, then PUT with the whole body, each on a connection of its own. `single`: one POST with digest and body. */
export type Way = 'session' | 'single'

interface Blob {
  digest: string
  content: Content
}

export interface PushAsk {
  url: string
  repository: string
  specs: readonly ContentSpec[]
  /** So many at once. */
  clients: number
  way: Way
}

export interface PushResult {
  pushes: Push[]
  seconds: number
  /** CPU of the clients' process meanwhile, of one core. */
  busy: number
}

/** Digests are known before the clock starts. */
export async function pushAll({ url, repository, specs, clients, way }: PushAsk): Promise<PushResult> {
  const blobs = specs.map(spec => {
    const content = new Content(spec)
    return { content, digest: `sha256:${content.sha256}` }
  })
  const pushes: Push[] = []
  const waiting = blobs.values()
  const startedMs = nowMs()
  const cpu = process.cpuUsage()
  await Promise.all(
    Array.from({ length: clients }, async () => {
      for (const blob of waiting)
        pushes.push(await pushOne(`${url}/v2/${repository}/blobs/uploads/`, blob, way))
    }),
  )
  const seconds = (nowMs() - startedMs) / 1000
  const { user, system } = process.cpuUsage(cpu)
  return { pushes, seconds, busy: (user + system) / 1e6 / seconds }
}

async function pushOne(uploads: string, { digest, content }: Blob, way: Way): Promise<Push> {
  const startedMs = nowMs()
  if (way === 'single')
    return { ...(await exchange('POST', `${uploads}?digest=${digest}`, content)), startedMs }
  const { status, location, ...times } = await exchange('POST', uploads)
  if (status !== 202 || location === undefined) return { status: 0, ...times, startedMs }
  const target = new URL(location, uploads)
  target.searchParams.set('digest', digest)
  return { ...(await exchange('PUT', target.href, content)), startedMs }
}

/** Never rejects. */
async function exchange(method: string, url: string, content?: Content) {
  const { hostname, port, pathname, search } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port), noDelay: true })
  socket.setTimeout(longestMs, () => socket.destroy())
  const answer = readHead(socket)
  const head = `${method} ${pathname}${search} HTTP/1.1\r\nHost: ${hostname}:${port}\r\nConnection: close\r\nContent-Type: application/octet-stream\r\nContent-Length: ${content?.size ?? 0}\r\n\r\n`
  try {
    await once(socket, 'connect')
    await write(socket, Buffer.from(head, 'latin1'), content)
  } catch {} // a server may answer and close before it took everything: the answer says it
  const sentMs = nowMs()
  const text = await answer
  socket.destroy()
  return {
    status: Number(text.slice(9, 12)),
    location: /^location: *(\S+)/im.exec(text)?.[1],
    sentMs,
    endedMs: nowMs(),
  }
}

async function write(socket: Socket, head: Buffer, content: Content | undefined): Promise<void> {
  if (content !== undefined && content.size <= MiB) {
    socket.write(Buffer.concat([head, content.at(0, content.size)]))
    return
  }
  socket.write(head)
  if (content === undefined) return
  const gone = new AbortController()
  socket.once('close', () => gone.abort())
  for (let position = 0; position < content.size; position += MiB) {
    if (!socket.write(content.at(position, MiB))) await once(socket, 'drain', { signal: gone.signal })
  }
}

/** Empty where the connection ended before a head. */
function readHead(socket: Socket): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  let text = ''
  socket.on('data', chunk => {
    text += chunk.toString('latin1')
    if (text.includes('\r\n\r\n')) resolve(text)
  })
  socket.on('error', () => {}) // `close` follows
  socket.on('close', () => resolve(text.includes('\r\n\r\n') ? text : ''))
  return promise
}
