/** Our own version, for `User-Agent`: some registries refuse clients that do not say who they are. */
import { readFileSync } from 'node:fs'

/** package.json lies two folders up, from src/ and from dist/ alike. */
const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
const { version } = JSON.parse(text) as { version: string }

export const userAgent = `layover/${version}`
