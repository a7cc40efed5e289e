/** Policies that go by one word. */
import { isDeepStrictEqual } from 'node:util'
import type { PolicyOptions } from '../options.ts'

const loggedIn = { name: 'whoever has logged in', when: 'authenticated' }

export const presets = {
  'anonymous-pull': {
    default: 'deny',
    rules: [loggedIn, { name: 'everybody may pull', when: 'action == "pull"' }],
  },
  authenticated: { default: 'deny', rules: [loggedIn] },
} as const satisfies Record<string, PolicyOptions>

export type Preset = keyof typeof presets

export const presetNames = Object.keys(presets) as Preset[]

/** Undefined: it has rules of its own. */
export function presetOf(policy: PolicyOptions): Preset | undefined {
  return presetNames.find(name => isDeepStrictEqual(presets[name], policy))
}
