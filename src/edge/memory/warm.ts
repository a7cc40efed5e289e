/** A relayed answer read whole, so that it can be given again. */
import { type Answer, contentLength } from '../answer.ts'

/** The head of one answer alone. */
const particular = new Set(['x-request-id', 'age', 'cache-status', 'content-length', 'keep-alive'])

/** As it is when it is not worth it, or not of a known length. Rejects when it breaks off. */
export async function gathered(answer: Answer, maxBytes: number): Promise<Answer> {
  const { status, headers, content } = answer
  const length = contentLength(content)
  if (status !== 200 || content.kind !== 'relay' || length === undefined || length > maxBytes) return answer
  const chunks: Buffer[] = []
  for await (const chunk of content.relay.body) chunks.push(chunk)
  const buffer = Buffer.concat(chunks)
  if (buffer.length !== length) throw new Error(`${buffer.length} of ${length} bytes came from the owner`)
  const lasting = Object.entries(headers).filter(([name]) => !particular.has(name))
  return { status, headers: Object.fromEntries(lasting), content: { kind: 'buffer', buffer } }
}
