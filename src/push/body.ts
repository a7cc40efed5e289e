/** What a client sends: bytes that come in their own time, and may not come at all. */
import type { Room } from '../stream/room.ts'

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

/** What has come of a body, as long as memory has room for it. */
export class Gathered {
  readonly chunks: Buffer[] = []
  readonly #room: Room
  #size = 0

  constructor(room: Room) {
    this.#room = room
  }

  get size(): number {
    return this.#size
  }

  get content(): Buffer {
    return Buffer.concat(this.chunks, this.#size)
  }

  /** False: there is no room for the chunk. */
  add(chunk: Buffer): boolean {
    if (!this.#room.take(chunk.length)) return false
    this.chunks.push(chunk)
    this.#size += chunk.length
    return true
  }

  release(): void {
    this.#room.giveBack(this.#size)
    this.#size = 0
  }
}

/** A body in memory, or its chunks, those that were read included. */
export interface Taken {
  readonly content: Buffer | undefined
  readonly rest: AsyncIterable<Buffer>
  /** To be called when the content is no longer needed. */
  readonly release: () => void
}

/** The content of a body of at most `wholeBytes` for which there is room; of others the chunks. */
export async function takeWhole(body: Body, wholeBytes: number, room: Room): Promise<Taken> {
  const nothing = { content: undefined, release: () => {} }
  if ((body.length ?? 0) > wholeBytes) return { ...nothing, rest: body.chunks }
  const taken = new Gathered(room)
  const chunks = body.chunks[Symbol.asyncIterator]()
  try {
    for (let next = await chunks.next(); !next.done; next = await chunks.next()) {
      if (taken.size + next.value.length <= wholeBytes && taken.add(next.value)) continue
      taken.release() // they are on their way to the disk now
      return { ...nothing, rest: joined([...taken.chunks, next.value], chunks) }
    }
  } catch (error) {
    taken.release()
    throw error
  }
  return { content: taken.content, rest: joined([], chunks), release: () => taken.release() }
}

async function* joined(taken: readonly Buffer[], rest: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  yield* taken
  for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value
}

/** For a blob that is here: the client is let finish, and its bytes are not looked at. */
export async function readOut({ chunks }: Body): Promise<undefined> {
  for await (const _ of chunks);
}
