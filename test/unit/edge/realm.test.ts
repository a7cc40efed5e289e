/** The realm of a request. */
import type { IncomingMessage } from 'node:http'
import { describe, expect, test } from 'vitest'
import { realmOf } from '../../../src/edge/realm.ts'
import { RegistryError } from '../../../src/oci/errors.ts'

interface Asked {
  host?: string[]
  url?: string
  encrypted?: boolean
  publicUrl?: string
}

function realm({ host = ['localhost:8080'], url = '/v2/', encrypted, publicUrl }: Asked = {}) {
  const request = { headersDistinct: { host }, url, socket: { encrypted } } as unknown as IncomingMessage
  return realmOf({ request }, { publicUrl })
}

describe('the realm', () => {
  test('is where the client is', () => {
    expect(realm()).toEqual({ realm: 'http://localhost:8080/token', service: 'localhost:8080' })
    expect(realm({ host: ['Registry.Corp.Example'], encrypted: true })).toEqual({
      realm: 'https://registry.corp.example/token',
      service: 'registry.corp.example',
    })
    expect(realm({ host: ['[fd00::1]:5000'] }).realm).toBe('http://[fd00::1]:5000/token')
    expect(realm({ host: ['my_registry:5000'] }).service).toBe('my_registry:5000')
    expect(realm({ host: ['other'], url: 'http://10.0.0.1:8080/v2/' }).service).toBe('10.0.0.1:8080')
  })

  test('is where it is configured to be, below its path', () => {
    const publicUrl = 'https://corp.example/registry'
    expect(realm({ publicUrl, host: ['10.0.0.1'] })).toEqual({
      realm: 'https://corp.example/registry/token',
      service: 'corp.example',
    })
  })

  test.each([
    [[]],
    [['']],
    [['one.example', 'two.example']],
    [['a"b']],
    [['a/b']],
    [['user@host']],
    [['host:port']],
    [['host:123456']],
    [['-host']],
    [['a b']],
  ])('is nowhere for a client that asks for the host %j', host => {
    const ask = () => realm({ host })
    expect(ask).toThrow(RegistryError)
    expect(ask).toThrow(expect.objectContaining({ status: 400 }) as Error)
  })
})
