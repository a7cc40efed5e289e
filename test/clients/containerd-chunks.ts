/** containerd's parallel layer fetch: open-ended ranges, each closed early after its chunk. */
import { BodyCut, ClientError, type Reply } from './http.ts'
import { BlobSink, type Descriptor, type PulledBlob } from './pull.ts'

/** @param open asks for the bytes from an offset to the end */
export async function fetchChunks(
  descriptor: Descriptor,
  { chunkBytes, connections }: { chunkBytes: number; connections: number },
  open: (offset: number) => Promise<Reply>,
): Promise<PulledBlob> {
  const sink = new BlobSink(descriptor)
  const first = await open(0)
  if (first.headers['content-range'] === undefined) {
    for await (const chunk of first.body) sink.write(chunk)
    return sink.finish()
  }
  const count = Math.ceil(descriptor.size / chunkBytes)
  const parts: Buffer[] = []
  let next = 0
  const work = async () => {
    for (let at = next++; at < count; at = next++) {
      const start = at * chunkBytes
      const length = Math.min(chunkBytes, descriptor.size - start)
      parts[at] = await readChunk(at === 0 ? first : await open(start), { start, length }, open)
    }
  }
  await Promise.all(Array.from({ length: connections }, work))
  for (const part of parts) sink.write(part)
  return sink.finish()
}

async function readChunk(
  reply: Reply,
  { start, length }: { start: number; length: number },
  open: (offset: number) => Promise<Reply>,
): Promise<Buffer> {
  const chunks: Buffer[] = []
  let got = 0
  let body = reply.body
  while (got < length) {
    const before = got
    try {
      for await (const chunk of body) {
        const wanted = chunk.subarray(0, length - got)
        chunks.push(wanted)
        got += wanted.length
        if (got === length) break
      }
      if (got < length) throw new ClientError(`chunk at ${start} ended after ${got} of ${length} bytes`)
    } catch (error) {
      if (!(error instanceof BodyCut) || error.how === 'rst' || got === before) throw error
      body = (await open(start + got)).body
    }
  }
  return Buffer.concat(chunks)
}
