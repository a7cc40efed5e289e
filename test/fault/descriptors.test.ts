/** A process that may open no more files: what it keeps open is given back, and what still cannot be done is told with Retry-After. */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { Agent, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { expect, test, vi } from 'vitest'
import { digestOf } from '../../src/oci/digest.ts'
import { readContent, type StoredBlob, seededBlob } from '../fake/bytes.ts'
import { startInternet } from '../fake/internet.ts'
import { tempDir } from '../support/temp-dir.ts'
import { LayoverProcess } from './process.ts'

const mayLimit = process.platform === 'linux' && trial()
const note = mayLimit ? '' : ' (skipped: prlimit is not installed)'
const kept = Array.from({ length: 60 }, (_, number) => seededBlob(`kept ${number}`, 100_000))
const first = Buffer.from('first')

function trial(): boolean {
  try {
    execFileSync('prlimit', ['--pid', String(process.pid), '--nofile'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

interface Ask {
  method?: string
  body?: Buffer
}

interface Answered {
  status: number
  headers: IncomingHttpHeaders
  body: Buffer
}

type Scene = Awaited<ReturnType<typeof busyScene>>

/** One process, and a client whose connection is open. */
async function busyScene() {
  const [dir, net] = await Promise.all([tempDir(), startInternet()])
  const blob = (seed: string) => {
    const made = seededBlob(seed, 100_000)
    net.plain.putBlob('app', made)
    return made
  }
  for (const each of kept) net.plain.putBlob('app', each)
  const upstreamUrl = net.url('plain.test').replace('plain.test', '127.0.0.1')
  const layover = await LayoverProcess.start({ home: dir.path, upstreamUrl, workers: 1 })
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const idle: Socket[] = []
  const flood = async (count: number) => {
    for (let left = count; left > 0; left -= 1) {
      const socket = connect(Number(new URL(layover.url).port), '127.0.0.1')
      socket.on('error', () => {}) // some are turned away
      idle.push(socket)
      await Promise.race([once(socket, 'connect'), once(socket, 'close')])
    }
  }
  const limit = (count: number) =>
    execFileSync('prlimit', ['--pid', String(layover.pid), `--nofile=${count}:`])
  const open = async () => (await readdir(`/proc/${layover.pid}/fd`)).map(Number)
  const ask = (path: string, options: Ask = {}) => send(agent, new URL(path, layover.url), options)
  const push = (body: Buffer) =>
    ask(`/v2/local/app/blobs/uploads/?digest=${digestOf(body)}`, { method: 'POST', body })
  expect((await push(first)).status).toBe(201)
  return {
    blob,
    ask,
    push,
    limit,
    flood,
    /** As many connections as there are descriptors left. */
    async exhaust() {
      const most = Math.max(...(await open())) + 1
      limit(most)
      let looks = 0
      await vi.waitFor(
        async () => {
          const left = most - (await open()).length
          await flood(left)
          looks = left === 0 ? looks + 1 : 0
          expect(looks).toBe(3) // a file that is open for a moment leaves one over
        },
        { timeout: 10_000 },
      )
    },
    async [Symbol.asyncDispose]() {
      for (const socket of idle) socket.destroy()
      agent.destroy()
      await layover.kill()
      await net.close()
      await dir[Symbol.asyncDispose]()
    },
  }
}

async function pullAll(at: Scene, blobs: readonly StoredBlob[]) {
  for (const blob of blobs) {
    const { status, body } = await at.ask(`/v2/app/blobs/${blob.digest}`)
    expect([status, body.equals(readContent(blob.content))]).toEqual([200, true])
  }
}

async function send(agent: Agent, url: URL, { method = 'GET', body }: Ask): Promise<Answered> {
  const outgoing = request(url, { agent, method, headers: { 'content-length': body?.length ?? 0 } })
  outgoing.end(body)
  const [reply] = (await once(outgoing, 'response')) as [IncomingMessage]
  return { status: reply.statusCode ?? 0, headers: reply.headers, body: await buffer(reply) }
}

test.skipIf(!mayLimit)(`what is kept open makes way for pushes and pulls${note}`, async () => {
  await using at = await busyScene()
  await pullAll(at, kept)
  await at.exhaust()
  for (const number of [1, 2, 3]) {
    const content = Buffer.alloc(200_000, `pushed ${number} `)
    expect((await at.push(content)).status).toBe(201)
    const pushed = await at.ask(`/v2/local/app/blobs/${digestOf(content)}`)
    expect([pushed.status, pushed.body.equals(content)]).toEqual([200, true])
  }
  const cold = at.blob('cold')
  await pullAll(at, [cold, ...kept, cold])
})

test.skipIf(!mayLimit)(
  `without any to give back each is told to come again, and served as soon as there are some${note}`,
  async () => {
    await using at = await busyScene()
    const { digest } = at.blob('cold')
    await at.exhaust()
    await at.ask('/v2/local/app/blobs/uploads/', { method: 'POST' }) // takes what is kept
    await at.exhaust()
    for (const [method, path] of [
      ['POST', 'local/app/blobs/uploads/'],
      ['GET', `local/app/blobs/${digestOf(first)}`],
      ['GET', 'local/app/manifests/v1'],
      ['GET', 'app/manifests/v1'],
      ['GET', `app/blobs/${digest}`],
    ] as const) {
      const answer = await at.ask(`/v2/${path}`, { method })
      expect([path, answer.status]).toEqual([path, 503])
      expect(Number(answer.headers['retry-after'])).toBeGreaterThanOrEqual(1)
    }
    await at.flood(50) // whoever connects now is turned away, and takes nobody along
    at.limit(4_096)
    expect((await at.push(Buffer.alloc(200_000, 'pushed '))).status).toBe(201)
    await pullAll(at, kept)
  },
)
