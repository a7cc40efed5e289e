import { EventEmitter } from 'node:events'
import { MessageChannel } from 'node:worker_threads'
import { describe, expect, it } from 'vitest'
import { type Answering, Link, type Port } from '../../../src/cli/workers/link.ts'

const silent: Answering = () => undefined

/** Two ends that copy what they carry, as processes do. */
function pair(left: Answering, right: Answering) {
  const { port1, port2 } = new MessageChannel()
  const portOf = (port: typeof port1): Port => ({
    post: message => port.postMessage(message),
    onMessage: take => port.on('message', take),
  })
  const links = { left: new Link(portOf(port1), left), right: new Link(portOf(port2), right) }
  return { ...links, [Symbol.dispose]: () => port1.close() }
}

describe('a link', () => {
  it('brings each question its own answer, in whatever order they come', async () => {
    const gates = new Map<unknown, PromiseWithResolvers<unknown>>()
    const arrived = new EventEmitter()
    using ends = pair(silent, question => {
      const gate = Promise.withResolvers<unknown>()
      gates.set(question, gate)
      if (gates.size === 2) arrived.emit('both')
      return gate.promise
    })
    const both = new Promise(resolve => arrived.once('both', resolve))
    const [one, two] = [ends.left.ask('one'), ends.left.ask('two')]
    await both
    gates.get('two')?.resolve(2)
    expect(await two).toBe(2)
    gates.get('one')?.resolve(1)
    expect(await one).toBe(1)
  })

  it('is asked from both ends', async () => {
    using ends = pair(
      question => `left ${String(question)}`,
      question => `right ${String(question)}`,
    )
    expect(await Promise.all([ends.left.ask('a'), ends.right.ask('b')])).toEqual(['right a', 'left b'])
  })

  it('brings a failure with what the system said of it', async () => {
    const failure = Object.assign(new Error('listen EADDRINUSE'), { code: 'EADDRINUSE', port: 8080 })
    using ends = pair(silent, () => Promise.reject(failure))
    await expect(ends.left.ask('listen')).rejects.toMatchObject({
      message: 'listen EADDRINUSE',
      code: 'EADDRINUSE',
      port: 8080,
    })
    await expect(ends.left.ask('again')).rejects.toBeInstanceOf(Error)
  })

  it('says a word without waiting for an answer', async () => {
    const heard = Promise.withResolvers<unknown>()
    using ends = pair(silent, word => heard.resolve(word))
    ends.left.tell({ kind: 'word' })
    expect(await heard.promise).toEqual({ kind: 'word' })
  })

  it('fails who waits, and who asks later, when the other end is gone', async () => {
    using ends = pair(silent, () => new Promise(() => {}))
    const waiting = ends.left.ask('anything')
    ends.left.close(new Error('the other end died'))
    await expect(waiting).rejects.toThrow('the other end died')
    await expect(ends.left.ask('more')).rejects.toThrow('the other end died')
  })

  it('takes a port that refuses as gone', async () => {
    const port: Port = {
      post: () => {
        throw new Error('channel closed')
      },
      onMessage: () => {},
    }
    await expect(new Link(port, silent).ask('anything')).rejects.toThrow('the other process is gone')
  })
})
