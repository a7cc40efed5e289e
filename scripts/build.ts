/** Builds `dist/`: the JavaScript that npm and the image ship, since Node strips no types under node_modules. */
import { execFileSync } from 'node:child_process'
import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

process.chdir(fileURLToPath(new URL('..', import.meta.url)))
rmSync('dist', { recursive: true, force: true })
execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json'], {
  stdio: 'inherit',
})

const command = 'dist/main.js'
const text = readFileSync(command, 'utf8')
if (!text.startsWith('#!')) writeFileSync(command, `#!/usr/bin/env node\n${text}`)
chmodSync(command, 0o755)

const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
const answer = execFileSync(process.execPath, [command, '--version'], { encoding: 'utf8' })
if (!answer.includes(version)) throw new Error(`${command} --version says ${answer.trim()}, not ${version}`)
