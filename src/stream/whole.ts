/** A body that is small by its nature, in one piece. */

/** Undefined when it has more bytes: then no more of it is read. Rejects with the body's error. */
export async function wholeOf(body: AsyncIterable<Buffer>, maxBytes: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of body) {
    bytes += chunk.length
    if (bytes > maxBytes) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
