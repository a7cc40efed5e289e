/** The image and the npm package hold what they need, as far as that shows without building them. */
import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'

const dockerfile = readFileSync('Dockerfile', 'utf8')
const stages = dockerfile.split(/^FROM /m).slice(1)
const finalStage = stages.at(-1) ?? ''
const instructions = (stage: string, name: string) =>
  stage
    .split('\n')
    .filter(line => line.startsWith(`${name} `))
    .map(line => line.slice(name.length + 1))

/** What COPY takes from the checkout: all but its options and its last word. */
const copied = instructions(stages[0] ?? '', 'COPY').flatMap(words => words.split(' ').slice(0, -1))

describe('the image', () => {
  test('copies only files that exist and that .dockerignore lets through', () => {
    const letThrough = readFileSync('.dockerignore', 'utf8')
      .split('\n')
      .filter(line => line.startsWith('!'))
      .map(line => line.slice(1))
    expect(copied.filter(path => !existsSync(path))).toEqual([])
    expect(copied.toSorted()).toEqual(letThrough.toSorted())
  })

  test('runs as a user that is not root and owns the volume', () => {
    expect(instructions(finalStage, 'USER')).toEqual(['65532:65532'])
    expect(finalStage).toContain('COPY --from=build --chown=65532:65532 /data /data')
    expect(instructions(finalStage, 'VOLUME')).toEqual(['/data'])
  })

  test('starts the built command with the configuration that it carries', () => {
    expect(instructions(finalStage, 'ENTRYPOINT')).toEqual(['["/nodejs/bin/node", "/app/dist/main.js"]'])
    expect(instructions(finalStage, 'CMD')).toEqual(['["serve", "--config", "/etc/layover/upstreams.yaml"]'])
    expect(finalStage).toContain(' /etc/layover/upstreams.yaml')
  })
})
