/** What somebody wants to do, as policies see it. */
import type { Caller } from './caller.ts'

/** `catalog`: whatever lists the registry as a whole. */
export type Action = 'pull' | 'push' | 'delete' | 'catalog' | 'health' | 'metrics'

/** Texts are empty where there is no such thing. */
export interface Question {
  readonly action: Action
  /** The full name: `docker.io/library/alpine`, `local/team/app`. */
  readonly repository: string
  /** Registry of the upstream that may be asked for it. */
  readonly upstream: string
  /** The local namespace that it belongs to. */
  readonly namespace: string
  readonly object: 'manifest' | 'blob' | 'upload' | 'tags' | 'referrers' | ''
  readonly tag: string
  readonly digest: string
}

export interface Asked extends Question {
  readonly caller: Caller
  /** Address of the client. */
  readonly client: string
}

/** What is said of no object and no repository. */
export const ofNothing = {
  repository: '',
  upstream: '',
  namespace: '',
  object: '',
  tag: '',
  digest: '',
} as const satisfies Omit<Question, 'action'>

export type Verdict = { readonly allowed: true } | { readonly allowed: false; readonly reason: string }

export const allowed: Verdict = { allowed: true }
