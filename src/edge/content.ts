/** Reads of manifests and blobs: what will be answered the same way for some time goes the short way from then on. */
import { keysOf } from '../resolve/resolve.ts'
import type { Answer } from './answer.ts'
import { answerBlob, leaveForBytes } from './blobs.ts'
import type { ContentCall } from './call.ts'
import type { HotPath } from './hot-path.ts'
import { answerManifest } from './manifests.ts'
import { isDecidedEachTime } from './passthrough.ts'
import type { Operation } from './route.ts'

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
  const answer = await (operation.kind === 'manifest'
    ? answerManifest(call, operation.reference)
    : answerBlob(call, operation.digest, hotPath.worthBytes(call.exchange, begun)))
  if (isKept)
    hotPath.keep(call.exchange, answer, { ...begun, keys: keysOf(call.resolved), under: call.under })
  return answer
}
