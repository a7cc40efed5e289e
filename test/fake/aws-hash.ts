/** SHA-256 and its HMAC in the shape that AWS's signing code wants. */
import { createHash, createHmac } from 'node:crypto'

type Text = string | ArrayBuffer | ArrayBufferView

interface Running {
  update(data: Buffer): unknown
  digest(): Buffer
}

export class Sha256 {
  readonly #secret: Text | undefined
  #hash: Running

  constructor(secret?: Text) {
    this.#secret = secret
    this.#hash = begun(secret)
  }

  update(data: Text): void {
    this.#hash.update(bytesOf(data))
  }

  async digest(): Promise<Uint8Array> {
    return this.#hash.digest()
  }

  reset(): void {
    this.#hash = begun(this.#secret)
  }
}

function begun(secret: Text | undefined): Running {
  return secret === undefined ? createHash('sha256') : createHmac('sha256', bytesOf(secret))
}

function bytesOf(data: Text): Buffer {
  if (typeof data === 'string') return Buffer.from(data)
  return ArrayBuffer.isView(data)
    ? Buffer.from(data.buffer, data.byteOffset, data.byteLength)
    : Buffer.from(data)
}
