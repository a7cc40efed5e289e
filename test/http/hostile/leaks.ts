/** Looking for secrets in what came out. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'

/** As it is, as headers carry it, and as URLs do. */
export function formsOf(secret: string): string[] {
  const base64 = Buffer.from(secret).toString('base64')
  const asPassword = ['bob', 'layover', 'alice', ''].map(user =>
    Buffer.from(`${user}:${secret}`).toString('base64'),
  )
  return [
    secret,
    base64,
    base64.replace(/=+$/, ''),
    Buffer.from(secret).toString('base64url'),
    encodeURIComponent(secret),
    ...asPassword,
  ]
}

/** Names of the secrets that the text tells, and how. */
export function leaksOf(planted: Readonly<Record<string, string>>, text: string): string[] {
  return Object.entries(planted).flatMap(([name, secret]) =>
    formsOf(secret)
      .filter(form => text.includes(form))
      .map(
        form =>
          `${name} as ${form} in …${text.slice(Math.max(0, text.indexOf(form) - 150), text.indexOf(form))}`,
      ),
  )
}

export async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries.filter(entry => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name))
}
