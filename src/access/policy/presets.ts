/** Policies that go by one word. */
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
