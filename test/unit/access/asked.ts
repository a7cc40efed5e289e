/** A question that a test changes where it matters. */
import { anonymous, type Caller } from '../../../src/access/caller.ts'
import type { Asked } from '../../../src/access/question.ts'

export type Some = Partial<Omit<Asked, 'caller'>> & { readonly caller?: Partial<Caller> }

/** Nobody pulls a tag of Docker Hub's alpine. */
export function asking({ caller, ...question }: Some = {}): Asked {
  return {
    action: 'pull',
    repository: 'docker.io/library/alpine',
    upstream: 'docker.io',
    namespace: '',
    object: 'manifest',
    tag: '3.20',
    digest: '',
    client: '10.1.2.3',
    caller: { ...anonymous, ...caller },
    ...question,
  }
}

export const alice = { method: 'password', user: 'alice' } as const

export function pipeline(claims: Caller['claims']): Partial<Caller> {
  return { method: 'oidc', provider: 'ci', user: 'job-1', claims }
}

export function node(names: Partial<NonNullable<Caller['certificate']>>): Partial<Caller> {
  const none = { commonNames: [], organizations: [], dns: [], emails: [], uris: [] }
  return { method: 'certificate', certificate: { ...none, ...names } }
}
