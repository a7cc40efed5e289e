/** A folder with a configuration, and the command run in it. */
import { execFile, spawnSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { tempDir } from '../support/temp-dir.ts'
import { Daemon } from './daemon.ts'

/** Another entry to try the same tests on, e.g. `dist/main.js` after a build. */
export const main = resolve(process.env.LAYOVER_MAIN ?? 'src/main.ts')
/** A start is a second's work; a busy machine takes many. */
const commandTimeoutMs = 60_000

export const minimal = 'listen: 127.0.0.1:0\nupstreams: [{registry: plain.test}]\n'

/** Commands run in the folder, so that messages hold no path of the machine. */
export async function home(configuration = minimal) {
  const dir = await tempDir()
  const write = (name: string, text: string) => writeFile(dir.join(name), text)
  await write('upstreams.yaml', configuration)
  return {
    ...dir,
    write,
    command(...args: string[]) {
      const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
        cwd: dir.path,
        env: { ...process.env, HUB_PASSWORD: 'pass-from-env', RES_OPTIONS: 'timeout:1 attempts:1' }, // where no DNS answers
        encoding: 'utf8',
        timeout: commandTimeoutMs,
      })
      return { code: status, stdout, complaints: stderr.split('\n').filter(Boolean) }
    },
    /** As `command`, while this process goes on. */
    run(...args: string[]): Promise<{ code: number; stdout: string; complaints: string[] }> {
      return new Promise(done => {
        const child = execFile(process.execPath, [main, ...args], { cwd: dir.path }, (_, stdout, stderr) =>
          done({ code: child.exitCode ?? -1, stdout, complaints: stderr.split('\n').filter(Boolean) }),
        )
      })
    },
    async serve() {
      const daemon = new Daemon(process.execPath, [main, 'serve'], { cwd: dir.path, env: process.env })
      const [, port] = await daemon.line(/"port":(\d+),"msg":"listening"/)
      await daemon.line(/anyone who can connect may pull/) // signals are taken from here on
      return { daemon, url: `http://127.0.0.1:${port}` }
    },
  }
}
