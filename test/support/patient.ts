/** Set up before each file: what is awaited may take as long as it does on a machine that does much else. */
import { vi } from 'vitest'
import { patience } from './patience.ts'

const { waitFor } = vi
vi.waitFor = (callback, options = {}) =>
  waitFor(callback, typeof options === 'number' ? options : { ...patience, ...options })
