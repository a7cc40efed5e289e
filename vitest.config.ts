import { join } from 'node:path'
import { defineConfig } from 'vitest/config'
import { patience } from './test/support/patience.ts'

/** Hundreds of processes are started from source: compiled once, each is there in half the time. */
process.env.NODE_COMPILE_CACHE ??= join(import.meta.dirname, 'node_modules/.cache/compiled')

const project = (name: string, include: string[], testTimeout: number) => ({
  test: {
    name,
    include,
    testTimeout,
    hookTimeout: testTimeout,
    setupFiles: ['test/support/patient.ts'],
    expect: { poll: patience },
    environment: 'node',
    pool: 'forks' as const,
  },
})

/** One project a kind of test: `unit` needs nothing but Node, `e2e` real clients, `long` is run apart. */
export default defineConfig({
  test: {
    maxWorkers: 2, // most of them wait for processes and disks
    projects: [
      project('unit', ['test/unit/**/*.test.ts', 'test/*.test.ts'], 30_000),
      project('conformance', ['test/conformance/**/*.test.ts'], 60_000),
      project('http', ['test/http/**/*.test.ts'], 30_000),
      project('fault', ['test/fault/**/*.test.ts'], 60_000),
      project('e2e', ['test/e2e/**/*.test.ts'], 180_000),
      ...(process.env.LAYOVER_LONG ? [project('long', ['test/long/**/*.test.ts'], 3_600_000)] : []),
    ],
  },
})
