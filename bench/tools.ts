/** What a run needs besides Node, said before it starts. */
import { availableParallelism } from 'node:os'
import { findOnPath } from './distribution.ts'

interface Tool {
  program: string
  from: string
}

const needed: readonly Tool[] = [
  { program: 'taskset', from: 'the Debian package util-linux' },
  { program: 'wrk', from: 'the Debian package wrk' },
  { program: 'openssl', from: 'the Debian package openssl' },
]

/** For a person; empty: everything is here. */
export function lacks(): string[] {
  if (process.platform !== 'linux') return ['it reads /proc and pins processes to cores: needs Linux']
  const tools = needed
    .filter(({ program }) => findOnPath(program) === undefined)
    .map(({ program, from }) => `${program} is missing: \`sh bench/setup.sh\` or ${from}`)
  const cores = availableParallelism()
  return cores < 2 ? [...tools, `two cores, for the server and its clients; there is ${cores}`] : tools
}
