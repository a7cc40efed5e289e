/** Reads of manifests and blobs: what will be answered the same way for some time goes the short way from then on. */
import { keysOf } from '../../resolve/resolve.ts'
import type { Answer } from '../answer.ts'
import { isDecidedEachTime } from '../gate/passthrough.ts'
import type { HotPath } from '../memory/hot-path.ts'
import type { Operation } from '../route.ts'
import { answerBlob, leaveForBytes } from './blobs.ts'
import type { ContentCall } from './call.ts'
import { answerManifest } from './manifests.ts'

export type ContentOperation = Extract<Operation, { kind: 'manifest' | 'blob' }>

export async function answerContent(
  call: ContentCall,
  operation: ContentOperation,
  hotPath: HotPath,
): Promise<Answer> {
  const isKept = !isDecidedEachTime(call.resolved)
  const recalled = isKept ? hotPath.recall(call.exchange) : undefined
  if (recalled) return recalled
  const leave = operation.kind === 'blob' && (await leaveForBytes(call, operation.digest))
  if (leave) return leave
  const begun = hotPath.begin(call.exchange)
  const found = await (operation.kind === 'manifest'
    ? answerManifest(call, operation.reference)
    : answerBlob(call, operation.digest, hotPath.worthBytes(call.exchange, begun)))
  const answer = call.exchange.question ? forOneAlone(found) : found
  if (isKept)
    hotPath.keep(call.exchange, answer, { ...begun, keys: keysOf(call.resolved), under: call.under })
  return answer
}

/** Who was let in may keep it; a cache in front, which lets in whom it likes, may not (RFC 9111 §5.2.2.7). */
function forOneAlone(answer: Answer): Answer {
  const kept = answer.headers['cache-control']
  if (kept === undefined || kept === 'no-store') return answer
  return { ...answer, headers: { ...answer.headers, 'cache-control': `private, ${kept}` } }
}
