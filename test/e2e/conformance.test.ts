/** The official conformance suite, on machines that have it. */
import { resolve } from 'node:path'
import { expect, test } from 'vitest'
import { tempDir } from '../support/temp-dir.ts'
import { isInstalled } from './environment.ts'
import { run } from './tools.ts'

const timeoutMs = 10 * 60_000

async function pass(...args: readonly string[]): Promise<void> {
  await using home = await tempDir()
  const command = [resolve('scripts/conformance.ts'), ...args]
  const said = await run(process.execPath, command, home.path, timeoutMs)
  expect(said.match(/\d+ passed/g)).toEqual([...Array<string>(4).fill('1032 passed'), '10 passed'])
}

testWithSuite([], 'every test of the official suite passes, in all profiles', () => pass())

for (const challenge of ['basic', 'bearer'])
  testWithSuite([], `and with a login, after a challenge of ${challenge}`, () => pass('--access', challenge))

testWithSuite(['redis-server', 'versitygw'], 'and by turns at three replicas', () => pass('--replicas', '3'))

/** The suite is no program that can be installed: without it these are skipped in CI too. */
function testWithSuite(tools: readonly string[], name: string, body: () => Promise<void>): void {
  const missing = tools.filter(tool => !isInstalled(tool))
  if (!isInstalled('conformance'))
    test.skip(`${name} (skipped: no \`conformance\` on PATH; see docs/how-to/conformance.md)`, body)
  else if (missing.length > 0)
    test.skip(`${name} (skipped: ${missing.join(', ')} not installed; see test/setup.sh)`, body)
  else test(name, body, timeoutMs)
}
