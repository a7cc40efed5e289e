/** Reads `multipart/byteranges` as strictly as the clients that ask for it. */
import { ClientError } from './http.ts'
import { parseContentRange } from './transfer.ts'

/** The parts in the order they came. */
export function splitMultipart(contentType: string, body: Buffer): Buffer[] {
  const boundary = /boundary="?([^";]+)"?/.exec(contentType)?.[1]
  if (boundary === undefined) throw new ClientError(`no boundary in ${contentType}`)
  const parts: Buffer[] = []
  let at = body.indexOf(`--${boundary}`)
  for (;;) {
    if (at < 0) throw new ClientError('multipart: unexpected EOF')
    const line = at + boundary.length + 2
    if (body.subarray(line, line + 2).toString() === '--') return parts
    const headersEnd = body.indexOf('\r\n\r\n', line)
    if (headersEnd < 0) throw new ClientError('multipart: unexpected EOF')
    const headers = body.subarray(line, headersEnd).toString()
    const range = parseContentRange(/^content-range:\s*(.+?)\s*$/im.exec(headers)?.[1])
    const start = headersEnd + 4
    const end = start + range.last - range.first + 1
    parts.push(body.subarray(start, end))
    at = body.indexOf(`\r\n--${boundary}`, end)
    if (at !== end) throw new ClientError('multipart: a part is not as long as its Content-Range')
    at += 2
  }
}
