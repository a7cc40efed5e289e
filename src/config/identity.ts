/** A certificate and its private key: whether they are a pair, and one that TLS takes. */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'

export function belongTogether(cert: string, key: string): boolean {
  try {
    return new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))
  } catch {
    return true // one of them cannot be read, which the schema says
  }
}

/** Why TLS does not take them. Its words never quote the key. */
export function refusalOf(cert: string, key: string): string | undefined {
  try {
    createSecureContext({ cert, key })
    return undefined
  } catch (error) {
    const { reason, message } = error as { reason?: string; message: string }
    return reason ?? message
  }
}
