/** The forms of hosts, addresses, URLs and patterns. */
import { assert, constantFrom, property, string } from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  FormInvalid,
  parseCidr,
  parseHost,
  parseListen,
  parseProxyUrl,
  parsePublicUrl,
  parseRegistryUrl,
} from '../../../src/config/address-forms.ts'
import {
  parseCertificates,
  parseLocalPattern,
  parseNamespaceName,
  parsePrivateKey,
  parseRepositoryPattern,
  parseTagPattern,
  parseToken,
  parseUserAndPassword,
  parseUsername,
} from '../../../src/config/name-forms.ts'
import { caCertificate, serverCertificate } from '../../fake/certificates.ts'

type Parse = (text: string) => unknown

const accepted: [string, Parse, string[]][] = [
  ['host', parseHost, ['ghcr.io', 'localhost:5000', 'registry', '10.0.0.7:5000', '[fd00::1]:5000', 'a--b.c']],
  [
    'repository pattern',
    parseRepositoryPattern,
    ['**', 'library/*', 'acme/**', '**/base', 'team-*/x__y', 'a.b/c_d'],
  ],
  ['local pattern', parseLocalPattern, ['local/**', 'docker.io/team/**', 'localhost:5000/team/*', 'a/b']],
  ['tag pattern', parseTagPattern, ['*', 'latest', 'v*', 'v1.*-RC', '_x']],
  ['address range', parseCidr, ['10.0.0.0/8', 'fd00::/8', '10.1.2.3/32']],
  ['namespace name', parseNamespaceName, ['local', 'docker.io', 'team-a']],
  ['user', parseUsername, ['bob', '$oauthtoken', '_json_key']],
  ['token', parseToken, ['ghp_abc', 'a.b-c_d~e+f/g=']],
]

const refused: [string, Parse, string[]][] = [
  [
    'host',
    parseHost,
    ['', 'GHCR.io', 'https://ghcr.io', 'ghcr.io/', 'a..b', '-a', 'a:0', 'a:65536', 'a:b', 'ä.de'],
  ],
  [
    'repository pattern',
    parseRepositoryPattern,
    ['', '/a', 'a/', 'a//b', '***', 'A/b', 'a b', 'docker.io:5000/x'],
  ],
  ['local pattern', parseLocalPattern, ['', 'Docker.io/x', 'a:b/c', 'docker.io/', 'docker.io:5000']],
  ['tag pattern', parseTagPattern, ['', 'a/b', '**', 'v 1', 'ü']],
  ['address range', parseCidr, ['', '10.0.0.0', '10.0.0.0/33', 'corp', '::1']],
  [
    'address to listen on',
    parseListen,
    ['', '8080', 'localhost', ':8080', '::1:8080', '[zz]:1', '0.0.0.0:65536'],
  ],
  ['user', parseUsername, ['', 'a:b']],
  ['token', parseToken, ['', 'a b', 'a\nb', 'ä']],
  ['credentials file', parseUserAndPassword, ['', 'token', ':x', 'user:']],
  [
    'URL of a registry',
    parseRegistryUrl,
    ['', 'ghcr.io', 'ftp://x', 'https://u:p@x', 'https://x/v2/', 'https://x?a', 'https://x#a'],
  ],
  ['URL of ours', parsePublicUrl, ['registry.corp', 'https://u@x', 'https://x?a=b']],
  ['URL of a proxy', parseProxyUrl, ['proxy:3128', 'socks5://x']],
]

describe('forms', () => {
  for (const [kind, parse, texts] of accepted) {
    test.each(texts)(`%j is a ${kind}`, text => expect(parse(text)).toBe(text))
  }
  for (const [kind, parse, texts] of refused) {
    test.each(texts)(`%j is no ${kind}`, text => expect(() => parse(text)).toThrow(FormInvalid))
  }

  test.each([
    ['0.0.0.0:8080', { host: '0.0.0.0', port: 8080 }],
    ['[::]:8080', { host: '::', port: 8080 }],
    ['localhost:0', { host: 'localhost', port: 0 }],
  ])('%s is listened on', (text, address) => expect(parseListen(text)).toEqual(address))

  test('a URL loses its trailing slash and keeps its path', () => {
    expect(parseRegistryUrl('https://art.corp/api/docker/hub//')).toBe('https://art.corp/api/docker/hub')
    expect(parseRegistryUrl('http://127.0.0.1:5000/')).toBe('http://127.0.0.1:5000')
  })

  test('a password in a credentials file may hold colons', () => {
    expect(parseUserAndPassword('bob:a:b c')).toEqual({ username: 'bob', password: 'a:b c' })
  })

  test('PEM texts are read, not only looked at', () => {
    expect(parseCertificates(caCertificate + serverCertificate.cert)).toBe(
      caCertificate + serverCertificate.cert,
    )
    expect(parsePrivateKey(serverCertificate.key)).toBe(serverCertificate.key)
    expect(() => parseCertificates(serverCertificate.key)).toThrow(FormInvalid)
    expect(() => parseCertificates(caCertificate.replace('MII', 'MIX'))).toThrow(FormInvalid)
    expect(() => parsePrivateKey(caCertificate)).toThrow(FormInvalid)
  })

  test('any text is either of its form or refused with FormInvalid', () => {
    const parsers = [...accepted, ...refused].map(([, parse]) => parse)
    assert(
      property(constantFrom(...parsers), string(), (parse, text) => {
        try {
          parse(text)
        } catch (error) {
          expect(error).toBeInstanceOf(FormInvalid)
        }
      }),
    )
  })
})
