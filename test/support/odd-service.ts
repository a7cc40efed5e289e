/** A proxy in front of an S3 service that answers some requests as other services do. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, request } from 'node:http'

/** The status of an answer without a body; `cut`: done, and not answered; undefined: what the service itself answers. */
export type Oddity = (asked: IncomingMessage, status: number) => number | 'cut' | undefined

export async function startOddService(port: number, oddity: Oddity) {
  const server = createServer((asked, answered) => {
    const { method, url: path, headers } = asked
    const inner = request({ port, host: '127.0.0.1', method, path, headers }, reply => {
      const { statusCode = 0 } = reply
      const odd = oddity(asked, statusCode)
      if (odd === 'cut') return void reply.resume().once('end', () => answered.destroy())
      answered.writeHead(odd ?? statusCode, odd === undefined ? reply.headers : {})
      if (odd === undefined) reply.pipe(answered)
      else reply.resume().once('end', () => answered.end())
    })
    asked.pipe(inner)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    port: address.port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
