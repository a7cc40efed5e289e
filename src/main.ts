#!/usr/bin/env node
/** The process: sizes what must be sized before anything runs, then hands over to the command. */

/** Threads for file and name-service calls: a slow disk must stop neither DNS nor the pulls of others. */
process.env.UV_THREADPOOL_SIZE ??= '16'

/** A supervisor's Node.js is not npm's, which would have warned; an old one dies of the first import in a thousand lines. */
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < 24 || (major === 24 && minor < 15)) {
  process.stderr.write(`layover: needs Node.js 24.15 or later; this is ${process.versions.node}\n`)
  process.exit(1)
}

const { run } = await import('./cli/command.ts')
process.exitCode = await run(process.argv.slice(2))
