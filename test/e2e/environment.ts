/** Where real clients are found on this machine, and what surrounds them when they run. */
import { accessSync, constants } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'

/** Where `test/setup.sh` puts what no Debian package offers, then Go's own place. */
const toolFolders = [
  process.env.LAYOVER_TOOLS ?? join(homedir(), '.cache', 'layover-tools', 'bin'),
  join(homedir(), 'go', 'bin'),
]
const path = [...toolFolders, process.env.PATH ?? '', '/usr/sbin', '/sbin'].join(delimiter)

/** The environment of every program: no proxy, no credentials, no settings of whoever runs the tests but one of Layover's. */
export function environment(home: string): NodeJS.ProcessEnv {
  const { LAYOVER_WORKERS = '1', NODE_COMPILE_CACHE } = process.env
  const places = { PATH: path, HOME: home, TMPDIR: home, XDG_RUNTIME_DIR: home }
  return { ...places, LC_ALL: 'C.UTF-8', LAYOVER_WORKERS, NODE_COMPILE_CACHE }
}

export function isInstalled(tool: string): boolean {
  return path.split(delimiter).some(folder => {
    try {
      accessSync(join(folder, tool), constants.X_OK)
      return true
    } catch {
      return false // not in this folder
    }
  })
}
