/** Clients that come all at once: the system keeps their connections until they are taken. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { expect, test } from 'vitest'
import { tempDir } from '../support/temp-dir.ts'
import { LayoverProcess } from './process.ts'

test('seven hundred clients are connected at once, however busy the process is', async () => {
  await using dir = await tempDir()
  await using layover = await LayoverProcess.start({
    home: dir.path,
    upstreamUrl: 'http://127.0.0.1:1',
    workers: 1,
  })
  const { hostname, port } = new URL(layover.url)
  layover.signal('SIGSTOP')
  const sockets = Array.from({ length: 700 }, () => connect(Number(port), hostname))
  const bound = AbortSignal.timeout(20_000)
  const connected = await Promise.allSettled(
    sockets.map(socket => once(socket, 'connect', { signal: bound })),
  )
  layover.signal('SIGCONT')
  for (const socket of sockets) socket.on('error', () => {}).destroy()
  expect(connected.filter(({ status }) => status === 'rejected')).toEqual([])
})
