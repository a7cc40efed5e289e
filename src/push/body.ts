/** What a client sends: bytes that come in their own time, and may not come at all. */

/** Bytes that a client sends. */
export interface Body {
  /** Undefined when the client does not say beforehand. */
  readonly length: number | undefined
  /** Rejects when the client leaves or stalls. */
  readonly chunks: AsyncIterable<Buffer>
  /** Ends the chunks with the reason, for who must not be waited for any longer. */
  abort(reason: Error): void
}

export interface Chunk extends Body {
  /** Where the client says the bytes belong, both ends inclusive. */
  readonly range: { readonly first: number; readonly last: number } | undefined
}

/** The content of a body of at most `wholeBytes`; of a larger one its chunks, those that were read included. */
export async function takeWhole(
  body: Body,
  wholeBytes: number,
): Promise<{ content: Buffer | undefined; rest: AsyncIterable<Buffer> }> {
  if ((body.length ?? 0) > wholeBytes) return { content: undefined, rest: body.chunks }
  const taken: Buffer[] = []
  let size = 0
  const chunks = body.chunks[Symbol.asyncIterator]()
  for (let next = await chunks.next(); !next.done; next = await chunks.next()) {
    taken.push(next.value)
    size += next.value.length
    if (size > wholeBytes) return { content: undefined, rest: joined(taken, chunks) }
  }
  return { content: Buffer.concat(taken, size), rest: joined([], chunks) }
}

async function* joined(taken: readonly Buffer[], rest: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  yield* taken
  for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value
}

/** For a blob that is here: the client is let finish, and its bytes are not looked at. */
export async function readOut({ chunks }: Body): Promise<undefined> {
  for await (const _ of chunks);
}
