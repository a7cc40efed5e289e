/** Our own version, as package.json has it. */
import { readFileSync } from 'node:fs'

/** Put in by the build, whose one bundle lies elsewhere. */
declare const LAYOVER_VERSION: string | undefined

export const version =
  typeof LAYOVER_VERSION === 'string'
    ? LAYOVER_VERSION
    : versionIn(new URL('../../package.json', import.meta.url))

function versionIn(manifest: URL): string {
  return (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version
}
