/** Private keys, made anew. */
import { generateKeyPairSync } from 'node:crypto'

const form = { type: 'pkcs8', format: 'pem' } as const

export function ed25519Pem(): string {
  return generateKeyPairSync('ed25519').privateKey.export(form)
}

export function p256Pem(): string {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export(form)
}
