#!/usr/bin/env node
/** The process: sizes what must be sized before anything runs, then hands over to the command. */

/** Threads for file and name-service calls: a slow disk must stop neither DNS nor the pulls of others. */
process.env.UV_THREADPOOL_SIZE ??= '16'

const { run } = await import('./cli/command.ts')
process.exitCode = await run(process.argv.slice(2))
