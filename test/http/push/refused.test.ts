/** The end of a connection whose client sent more than was wanted. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { expect, test } from 'vitest'
import { image } from '../../fake/content.ts'
import { pushBundle } from '../push-client.ts'
import { name, pushScene, sendRaw } from './scene.ts'

const app = image('app', { layers: [] })
const limit = 1_000
const host = 'Host: localhost'

async function pushed() {
  const at = await pushScene({ limits: { manifest: limit } })
  await pushBundle({ url: at.layover.url, name }, app, 'v1')
  return at
}

test('a request behind one whose answer closes the connection is not carried out', async () => {
  await using at = await pushed()
  const refused = [`PUT /v2/${name}/manifests/v2 HTTP/1.1`, host, 'Content-Length: 1000000', '', '']
  const ahead = [`DELETE /v2/${name}/manifests/v1 HTTP/1.1`, host, '', '']
  const body = 'x'.repeat(1_000_000)
  const answers = await sendRaw(at.layover.url, refused.join('\r\n') + body + ahead.join('\r\n'))
  expect(answers.match(/^HTTP\/1\.1 \d+/gm)).toEqual(['HTTP/1.1 413'])
  await at.layover.restart() // whatever was begun is over
  expect(at.layover.lines.filter(({ method }) => method === 'DELETE')).toEqual([])
  expect((await at.ask(`/v2/${name}/manifests/v1`, { method: 'HEAD' })).status).toBe(200)
})

test('who was told to continue and then sends too much is heard out, so that the answer arrives', async () => {
  await using at = await pushed()
  const socket = connect(Number(new URL(at.layover.url).port), '127.0.0.1')
  const lines = [host, 'Expect: 100-continue', 'Transfer-Encoding: chunked', '', '']
  socket.write([`PUT /v2/${name}/manifests/v2 HTTP/1.1`, ...lines].join('\r\n'))
  const [told] = (await once(socket, 'data')) as [Buffer]
  expect(told.toString()).toMatch(/^HTTP\/1\.1 100 /)
  socket.write(chunk(limit + 1))
  const [refused] = (await once(socket, 'data')) as [Buffer]
  expect(refused.toString()).toMatch(/^HTTP\/1\.1 413 /)
  for (let sent = 0; sent < 100; sent += 1) socket.write(chunk(10_000))
  socket.write('0\r\n\r\n')
  const rest = await text(socket) // rejects when the connection is reset
  expect(refused.toString() + rest).toContain('"MANIFEST_INVALID"')
})

function chunk(size: number): string {
  return `${size.toString(16)}\r\n${'x'.repeat(size)}\r\n`
}
