#!/usr/bin/env node
/** In place of a registry that is not installed: notes how it was called, and answers 200 where its configuration says. */
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createServer as createSecureServer } from 'node:https'

const args = process.argv.slice(2)
const text = readFileSync(
  args.find(arg => /\.(json|toml)$/.test(arg)),
  'utf8',
)
writeFileSync(
  'called.json',
  JSON.stringify({ args, text, log: process.env.RUST_LOG, go: process.env.GOMAXPROCS }),
)
const port = Number(/"?port"? ?[:=] ?"?(\d+)/.exec(text)[1])
const file = pattern => readFileSync(pattern.exec(text)[1])
const answer = (_request, response) => response.end()
const server = /tls/.test(text)
  ? createSecureServer(
      { cert: file(/"?cert\w*"? ?[:=] ?"([^"]+)/), key: file(/key"? ?[:=] ?"([^"]+)/) },
      answer,
    )
  : createServer(answer)
server.listen(port, '127.0.0.1')
