/** Going on from the index's answer. */
import type { Answer } from './index.ts'

/** The index's answer; from the records where it has none. */
export function settle<T>(
  answer: Answer<T>,
  fromRecords: () => Promise<T | undefined>,
): Promise<T | undefined> | T | undefined {
  if (answer.answer === 'unknown') return fromRecords()
  return answer.answer === 'present' ? answer.value : undefined
}
