/** Several servers and their primary as processes: killed, stopped, told of changes. */
import { readFile, rename, writeFile } from 'node:fs/promises'
import { Agent } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test, vi } from 'vitest'
import { readContent, seededBlob } from '../fake/bytes.ts'
import { artifactOf } from '../fake/content.ts'
import { startInternet } from '../fake/internet.ts'
import { pushBundle } from '../http/push-client.ts'
import { tempDir } from '../support/temp-dir.ts'
import { download, expectWhole, openDownload } from './download.ts'
import { LayoverProcess } from './process.ts'
import { send } from './push/crash-send.ts'
import { auditStore, miB, repository } from './scene.ts'

const local = 'local/app'

async function start(workers: number, limits = {}) {
  const [dir, net] = await Promise.all([tempDir(), startInternet()])
  const upstreamUrl = net.url('plain.test').replace('plain.test', '127.0.0.1')
  const layover = await LayoverProcess.start({ home: dir.path, upstreamUrl, workers, limits })
  const url = (path: string) => `${layover.url}/v2/${path}`
  return {
    net,
    dir,
    layover,
    url,
    /** By a connection of its own, so that every server gets its turn. */
    ask: (path: string) => send(url(path)),
    /** Other processes than these, and as many. */
    replaced: (dead: readonly number[]) =>
      vi.waitFor(
        async () => {
          const alive = await layover.servers()
          expect(alive).toHaveLength(workers)
          expect(alive.filter(pid => dead.includes(pid))).toEqual([])
          expect((await send(`${layover.url}/livez`)).status).toBe(200)
        },
        { timeout: 20_000 },
      ),
    async [Symbol.asyncDispose]() {
      await layover.kill()
      await net.close()
      await dir[Symbol.asyncDispose]()
    },
  }
}

describe('a server that is killed', () => {
  test('cuts its clients and no flight: they come again and upstream was asked once', async () => {
    await using at = await start(2)
    const blob = seededBlob('cold', 32 * miB)
    at.net.plain.putBlob(repository, blob)
    const stall = at.net.fault({ kind: 'stall', at: 20 * miB, path: /blobs/, times: 1 })
    const path = at.url(`${repository}/blobs/${blob.digest}`)
    const readers = await Promise.all([openDownload(path), openDownload(path)])
    for (const reader of readers) await reader.take(8 * miB)
    await stall.reached
    const servers = await at.layover.servers()
    for (const pid of servers) process.kill(pid, 'SIGKILL')
    const broken = await Promise.all(readers.map(reader => reader.finish()))
    expect(broken.map(({ whole }) => whole)).toEqual([false, false])
    await at.replaced(servers)
    const again = await openDownload(path)
    stall.release()
    expectWhole(await again.finish(), blob)
    expect(at.net.requests({ method: 'GET', path: /blobs/ })).toHaveLength(1)
    await vi.waitFor(
      async () => expect(await auditStore(join(at.dir.path, 'data'))).toEqual([blob.digest]),
      { timeout: 20_000 }, // it gets its name behind the answer
    )
  })

  test('takes nothing with it that was counted', async () => {
    await using at = await start(2)
    at.net.plain.put(repository, 'v1', artifactOf([seededBlob('small', 100)]))
    for (let asked = 0; asked < 10; asked += 1) await at.ask(`${repository}/manifests/v1`)
    const counted = async () => {
      const { body } = await send(`${at.layover.url}/metrics`)
      const counts = [...body.toString().matchAll(/^layover_requests_total\{.*\} (\d+)$/gm)]
      return counts.reduce((sum, [, count]) => sum + Number(count), 0)
    }
    expect(await counted()).toBe(10)
    const servers = await at.layover.servers()
    process.kill(servers[0] ?? 0, 'SIGKILL')
    await at.replaced(servers.slice(0, 1))
    expect(await counted()).toBe(10)
  })

  test('for answering no longer holds up no push, and answers nothing from before it', async () => {
    await using at = await start(2)
    const [first, second] = [artifactOf([seededBlob('one', 100)]), artifactOf([seededBlob('two', 100)])]
    await pushBundle({ url: at.layover.url, name: local }, first, 'v1')
    for (let asked = 0; asked < 4; asked += 1) await at.ask(`${local}/manifests/v1`) // every server keeps it
    const servers = await at.layover.servers()
    const hanging = servers[0] ?? 0
    process.kill(hanging, 'SIGSTOP')
    const agent = await connectionTo(at.layover)
    await pushOver(agent, at.layover, second)
    agent.destroy()
    await at.replaced([hanging])
    for (let asked = 0; asked < 4; asked += 1)
      expect((await at.ask(`${local}/manifests/v1`)).headers['docker-content-digest']).toBe(
        second.root.digest,
      )
  })
})

/** A process that has ended may stay on as a name until somebody asks how. */
async function isAlive(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ') Z')
  return !/\) [ZX]/.test(stat)
}

/** A connection to a server that answers: what reaches one that hangs waits for it. */
async function connectionTo({ url }: LayoverProcess): Promise<Agent> {
  for (;;) {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    const isAnswered = await Promise.race([
      send(`${url}/livez`, { agent }).then(
        () => true,
        () => false,
      ),
      sleep(1_000, false),
    ])
    if (isAnswered) return agent
    agent.destroy()
  }
}

async function pushOver(
  agent: Agent,
  { url }: LayoverProcess,
  { blobs, root }: ReturnType<typeof artifactOf>,
): Promise<void> {
  for (const { digest, content } of blobs) {
    const path = `/v2/${local}/blobs/uploads/?digest=${digest}`
    const { status } = await send(url + path, { method: 'POST', body: readContent(content), agent })
    expect(status).toBe(201)
  }
  const headers = { 'content-type': root.mediaType }
  const path = `/v2/${local}/manifests/v1`
  const { status } = await send(url + path, { method: 'PUT', headers, body: root.body, agent })
  expect(status).toBe(201)
}

test('a tag that moves is what every server answers from the moment of the 201, and no reader sees it go back', async () => {
  await using at = await start(3)
  const bundles = Array.from({ length: 30 }, (_, nth) => artifactOf([seededBlob(`move ${nth}`, 50)]))
  const order = new Map(bundles.map(({ root }, nth) => [root.digest as string, nth]))
  const [first] = bundles
  if (!first) throw new Error('there is nothing to push')
  await pushBundle({ url: at.layover.url, name: local }, first, 'moving')
  const over = new AbortController()
  const seen = async () => {
    const { headers, status } = await at.ask(`${local}/manifests/moving`)
    expect(status).toBe(200)
    return order.get(String(headers['docker-content-digest'])) ?? -1
  }
  const readers = Array.from({ length: 4 }, async () => {
    for (let last = 0; !over.signal.aborted; ) {
      const now = await seen()
      expect(now).toBeGreaterThanOrEqual(last)
      last = now
    }
  })
  for (const [nth, bundle] of bundles.entries()) {
    await pushBundle({ url: at.layover.url, name: local }, bundle, 'moving')
    expect(await Promise.all([seen(), seen(), seen()])).toEqual([nth, nth, nth])
  }
  over.abort()
  await Promise.all(readers)
})

test('an upload goes on at whichever server its next chunk arrives', async () => {
  await using at = await start(3)
  const { digest, content } = seededBlob('chunked', 600_000)
  const bytes = readContent(content)
  const begun = await send(at.url(`${local}/blobs/uploads/`), { method: 'POST' })
  let location = String(begun.headers.location)
  for (let from = 0; from < bytes.length; from += 100_000) {
    const body = bytes.subarray(from, from + 100_000)
    const headers = { 'content-range': `${from}-${from + body.length - 1}` }
    const { status, headers: told } = await send(new URL(location, at.layover.url).href, {
      method: 'PATCH',
      headers,
      body,
    })
    expect(status).toBe(202)
    location = String(told.location)
  }
  const closing = new URL(location, at.layover.url)
  closing.searchParams.set('digest', digest)
  expect((await send(closing.href, { method: 'PUT' })).status).toBe(201)
  expectWhole(await download(at.url(`${local}/blobs/${digest}`)), seededBlob('chunked', 600_000))
})

test('a hundred clients of one cold blob at several servers: one fetch, every one whole', async () => {
  await using at = await start(3)
  const blob = seededBlob('herd', 4 * miB)
  at.net.plain.putBlob(repository, blob)
  const path = at.url(`${repository}/blobs/${blob.digest}`)
  const bodies = await Promise.all(Array.from({ length: 100 }, () => download(path)))
  for (const body of bodies) expectWhole(body, blob)
  expect(at.net.requests({ method: 'GET', path: /blobs/ })).toHaveLength(1)
})

test('a primary that is killed takes its servers along, and the next one goes on from the synced bytes', async () => {
  await using at = await start(2)
  const servers = await at.layover.servers()
  await at.layover.kill()
  await vi.waitFor(async () => expect(await Promise.all(servers.map(isAlive))).toEqual([false, false]), {
    timeout: 10_000,
  })
  const upstreamUrl = at.net.url('plain.test').replace('plain.test', '127.0.0.1')
  await using next = await LayoverProcess.start({ home: at.dir.path, upstreamUrl, workers: 2 })
  expect((await send(`${next.url}/readyz`)).status).toBe(200)
})

test('a reload reaches every server', async () => {
  await using at = await start(3)
  const file = join(at.dir.path, 'upstreams.yaml')
  const text = await readFile(file, 'utf8')
  await writeFile(`${file}.next`, text.replace('local: [', 'local: [{match: "team/**"}, '))
  const pushed = () => send(at.url('team/app/blobs/uploads/'), { method: 'POST' })
  expect((await pushed()).status).toBe(405)
  await rename(`${file}.next`, file)
  at.layover.signal('SIGHUP')
  await vi.waitFor(async () => expect((await pushed()).status).toBe(202), { timeout: 10_000 })
  for (let asked = 0; asked < 6; asked += 1) expect((await pushed()).status).toBe(202)
  expect(await Promise.all(Array.from({ length: 6 }, () => at.ask('team/app/tags/list')))).toMatchObject(
    Array.from({ length: 6 }, () => ({ status: 404 })),
  )
})

test('connections beyond the limit of every server are closed, and not handed round', async () => {
  await using at = await start(2, { connections: 3 })
  const { port } = new URL(at.layover.url)
  const sockets = Array.from({ length: 10 }, () => connect(Number(port), '127.0.0.1'))
  for (const socket of sockets) socket.on('error', () => {}).resume()
  // A server that takes its turns sooner gets more of them, and keeps no more than the other may.
  const closed = () => sockets.filter(socket => socket.closed).length
  await vi.waitFor(() => expect(closed()).toBeGreaterThanOrEqual(4))
  expect(closed()).toBeLessThanOrEqual(7)
  for (const socket of sockets) socket.destroy()
  await vi.waitFor(async () => expect((await at.ask('')).status).toBe(200), { timeout: 10_000 })
})

test('SIGTERM lets the transfers of every server end, and none begins', async () => {
  await using at = await start(2)
  const blob = seededBlob('long', 8 * miB)
  at.net.plain.putBlob(repository, blob)
  const stall = at.net.fault({ kind: 'stall', at: 4 * miB, path: /blobs/, times: 1 })
  const path = at.url(`${repository}/blobs/${blob.digest}`)
  const readers = await Promise.all([openDownload(path), openDownload(path), openDownload(path)])
  await stall.reached
  const stopping = at.layover.stop()
  await vi.waitFor(() => expect(send(`${at.layover.url}/livez`)).rejects.toThrow(/ECONN/), {
    timeout: 10_000,
  })
  stall.release()
  for (const reader of readers) expectWhole(await reader.finish(), blob)
  await stopping
})

test('what the servers log comes line by line however slowly it is read, and all of it is there after a stop', async () => {
  await using at = await start(2)
  at.net.plain.put(repository, 'v1', artifactOf([seededBlob('small', 100)]))
  const agent = 'x'.repeat(8000)
  const readLog = at.layover.holdLog()
  for (let asked = 0; asked < 300; asked += 1) {
    const { status } = await send(at.url(`${repository}/manifests/v1`), { headers: { 'user-agent': agent } })
    expect(status).toBe(200)
  }
  const log = readLog()
  await at.layover.stop()
  const lines = (await log)
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as { agent?: string })
  expect(lines.filter(line => line.agent === agent)).toHaveLength(300)
})
