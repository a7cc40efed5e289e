/** The certificate that a client showed: whose it is, read once a connection. */
import type { X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import type { CertificateNames } from '../../access/caller.ts'

export interface ClientCertificate extends CertificateNames {
  /** SHA-256 of the certificate, in hexadecimal digits: the same for the same certificate, whatever the connection. */
  readonly fingerprint: string
}

const shown = new WeakMap<Socket, ClientCertificate>()

/** Undefined: none was shown, or the connection is none of a client's own: it ends at the process that the client reached. */
export function certificateOf(socket: Socket): ClientCertificate | undefined {
  return shown.get(socket)
}

/** To be called with a certificate that was verified. @throws when its names cannot be told apart */
export function remember(socket: Socket, certificate: X509Certificate): void {
  shown.set(socket, readCertificate(certificate))
}

/** @throws when its names cannot be told apart */
export function readCertificate(certificate: X509Certificate): ClientCertificate {
  // The one form of the subject in which Node neither escapes nor joins the values.
  const { subject } = certificate.toLegacyObject() as { subject?: Partial<Record<string, string | string[]>> }
  const alternatives = parseAlternatives(certificate.subjectAltName ?? '')
  const named = (kind: string) => alternatives.filter(each => each.kind === kind).map(({ value }) => value)
  return {
    commonNames: [subject?.CN ?? []].flat(),
    organizations: [subject?.O ?? []].flat(),
    dns: named('DNS'),
    emails: named('email'),
    uris: named('URI'),
    endsAt: certificate.validToDate.getTime(),
    fingerprint: certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
  }
}

interface Alternative {
  /** `DNS`, `email`, `URI`, `IP Address`, `DirName`, … */
  readonly kind: string
  readonly value: string
}

/** A piece of a value: in quotes, as JSON has them, where it holds what would be taken for the end of it (CVE-2021-44532). */
const piece = /("(?:[^"\\\p{Cc}]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")|([^",]+)|(, |$)/uy

/** `DNS:a.example, URI:"https://a.example/?b,c"`. @throws for what Node does not write */
export function parseAlternatives(text: string): Alternative[] {
  const all: Alternative[] = []
  if (text === '') return all
  piece.lastIndex = 0
  for (let entry = ''; ; ) {
    const [, quoted, bare, end] = piece.exec(text) ?? []
    if (quoted !== undefined) entry += JSON.parse(quoted) as string
    else if (bare !== undefined) entry += bare
    else if (end === undefined) throw new Error('its alternative names cannot be told apart')
    else {
      const colon = entry.indexOf(':')
      all.push({ kind: entry.slice(0, Math.max(0, colon)), value: entry.slice(colon + 1) })
      if (end === '') return all
      entry = ''
    }
  }
}
