/** Where the primary's socket is: in the store, under a name that is short enough for the system. */
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import type { Layout } from '../../store/layout.ts'

/** Of the path of a Unix socket, on the system that takes the least. */
const mostBytes = 103

export async function socketPathFor({ socket }: Layout): Promise<string> {
  const short = [socket, relative(process.cwd(), socket)].find(path => Buffer.byteLength(path) <= mostBytes)
  return short ?? join(await mkdtemp(join(tmpdir(), 'layover-')), 'socket')
}
