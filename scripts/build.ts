/** Builds `dist/`: one bundle that npm and the image ship, with the licences of what went into it. */
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build } from 'rolldown'

interface Manifest {
  name: string
  version: string
  license?: string
}

process.chdir(fileURLToPath(new URL('..', import.meta.url)))
rmSync('dist', { recursive: true, force: true })
const { version } = manifestOf('.')

const { output } = await build({
  // Threads are started from files of their own.
  input: {
    main: 'src/main.ts',
    'hash-worker': 'src/stream/hash-worker.ts',
    'password-worker': 'src/access/passwords/password-worker.ts',
  },
  platform: 'node',
  transform: { define: { LAYOVER_VERSION: JSON.stringify(version) } },
  output: {
    dir: 'dist',
    format: 'esm',
    chunkFileNames: '[name].js',
    sourcemap: true,
    // Source text stays in memory; names stay for stack traces.
    minify: { compress: true, mangle: false, codegen: { removeWhitespace: true } },
  },
})

const packages = new Set(
  output
    .flatMap(chunk => (chunk.type === 'chunk' ? chunk.moduleIds : []))
    .map(id => /.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(id)?.[0])
    .filter(folder => folder !== undefined),
)
writeFileSync('dist/THIRD-PARTY-LICENSES', [...packages].toSorted().map(licenceOf).join('\n\n'))

const command = 'dist/main.js'
const text = readFileSync(command, 'utf8')
if (!text.startsWith('#!')) writeFileSync(command, `#!/usr/bin/env node\n${text}`)
chmodSync(command, 0o755)

const answer = execFileSync(process.execPath, [command, '--version'], { encoding: 'utf8' })
if (answer.trim() !== version) throw new Error(`${command} --version says ${answer.trim()}, not ${version}`)

function manifestOf(folder: string): Manifest {
  return JSON.parse(readFileSync(`${folder}/package.json`, 'utf8')) as Manifest
}

function licenceOf(folder: string): string {
  const { name, version, license = 'unknown' } = manifestOf(folder)
  const file = ['LICENSE', 'LICENSE.md', 'LICENSE.txt', 'license', 'LICENCE'].find(at =>
    existsSync(`${folder}/${at}`),
  )
  return `${name} ${version} (${license})\n\n${file === undefined ? '' : readFileSync(`${folder}/${file}`, 'utf8')}`
}
