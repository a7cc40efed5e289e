/** What is shown in place of what is not. */

export const redacted = '<redacted>'

export function countCertificates(pem: string): string {
  const count = pem.split('-----BEGIN ').length - 1
  return `<${count} certificate${count === 1 ? '' : 's'}>`
}
