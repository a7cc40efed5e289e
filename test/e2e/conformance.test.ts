/** The official conformance suite, on machines that have it. */
import { resolve } from 'node:path'
import { expect, test } from 'vitest'
import { tempDir } from '../support/temp-dir.ts'
import { isInstalled } from './environment.ts'
import { run } from './tools.ts'

const name = 'every test of the official suite passes, in all profiles'
const timeoutMs = 10 * 60_000

async function body(): Promise<void> {
  await using home = await tempDir()
  const said = await run(process.execPath, [resolve('scripts/conformance.ts')], home.path, timeoutMs)
  expect(said.match(/\d+ passed/g)).toEqual([...Array<string>(4).fill('1032 passed'), '10 passed'])
}

if (isInstalled('conformance')) test(name, body, timeoutMs)
else test.skip(`${name} (skipped: no \`conformance\` on PATH; see docs/how-to/conformance.md)`, body)
