/** A certificate and its private key: whether they are a pair, and one that TLS takes. */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { createSecureContext, type SecureContextOptions } from 'node:tls'

export function belongTogether(cert: string, key: string): boolean {
  try {
    return new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))
  } catch {
    return true // one of them cannot be read, which the schema says
  }
}

/** Why TLS does not take them. Its words never quote the key. */
export function refusalOf(given: Pick<SecureContextOptions, 'cert' | 'key' | 'crl'>): string | undefined {
  try {
    createSecureContext(given)
    return undefined
  } catch (error) {
    const { reason, message } = error as { reason?: string; message: string }
    return reason ?? message
  }
}

const certificateBlock = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g

/** Whether each is signed by one of them: without its root none of them vouches for anybody. */
export function leadToRoots(pem: string): boolean {
  try {
    const all = (pem.match(certificateBlock) ?? []).map(each => new X509Certificate(each))
    return all.every(each => all.some(other => each.checkIssued(other)))
  } catch {
    return true // one of them cannot be read, which the schema says
  }
}
