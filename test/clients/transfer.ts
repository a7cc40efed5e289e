/** A blob download that goes on with Range on the same host, and errors in the client's words. */
import { ClientError, type ClientHttp, type Reply } from './http.ts'
import { BlobSink, type Descriptor, type PulledBlob } from './pull.ts'

const attempts = 5

/** Docker's layer download: any cut is resumed, five attempts in all. */
export function readWithResume(http: ClientHttp, base: string, userAgent: string) {
  return async (descriptor: Descriptor): Promise<PulledBlob> => {
    const sink = new BlobSink(descriptor)
    for (let attempt = 1; ; attempt += 1) {
      const start = sink.size
      const range = start > 0 ? { range: `bytes=${start}-` } : {}
      const headers = { 'user-agent': userAgent, 'accept-encoding': 'identity', ...range }
      const reply = await http.send('GET', `${base}/blobs/${descriptor.digest}`, headers)
      if (reply.status !== (start > 0 ? 206 : 200)) throw await failureOf('GET', reply)
      const cut = await sink.take(reply.body)
      if (!cut) return sink.finish()
      if (attempt >= attempts) throw cut
    }
  }
}

export async function failureOf(method: string, { status, url, body }: Reply): Promise<ClientError> {
  const said = method === 'HEAD' ? '' : (await body.bytes()).toString().slice(0, 2_048)
  const message = `unexpected status from ${method} request to ${url.href}: ${status}`
  return new ClientError(said === '' ? message : `${message}\nServer message: ${said}`, { status })
}

/** Content-Range of a single part. */
export function parseContentRange(header: string | undefined): {
  first: number
  last: number
  total: number
} {
  const match = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(header ?? '')
  if (!match) throw new ClientError(`invalid Content-Range: ${header}`)
  return { first: Number(match[1]), last: Number(match[2]), total: Number(match[3]) }
}
