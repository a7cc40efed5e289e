/** The realm of a request. */
import type { IncomingMessage } from 'node:http'
import { describe, expect, test } from 'vitest'
import { realmOf } from '../../../../src/edge/gate/realm.ts'

interface Asked {
  host?: string
  secure?: boolean
  publicUrl?: string
}

function realm({ host = 'localhost:8080', secure = false, publicUrl }: Asked = {}) {
  const request = { headers: { host } } as unknown as IncomingMessage
  return realmOf({ request, secure, proxied: false }, { publicUrl })
}

describe('the realm', () => {
  test('is where the client is', () => {
    expect(realm()).toEqual({ realm: 'http://localhost:8080/token', service: 'localhost:8080' })
    expect(realm({ host: 'Registry.Corp.Example', secure: true })).toEqual({
      realm: 'https://registry.corp.example/token',
      service: 'registry.corp.example',
    })
    expect(realm({ host: '[fd00::1]:5000' }).realm).toBe('http://[fd00::1]:5000/token')
    expect(realm({ host: 'my_registry:5000' }).service).toBe('my_registry:5000')
  })

  test('is where it is configured to be, below its path', () => {
    const publicUrl = 'https://corp.example/registry'
    expect(realm({ publicUrl, host: '10.0.0.1' })).toEqual({
      realm: 'https://corp.example/registry/token',
      service: 'corp.example',
    })
  })

  test.each([
    '',
    'a"b',
    'a/b',
    'user@host',
    'host:port',
    'a b',
  ])('says nothing of its own for a client that asks for the host %j', host => {
    expect(realm({ host })).toEqual({ realm: 'http://localhost/token', service: 'localhost' })
  })
})
