/** Which extensions there are (distribution-spec, extensions/_oci.md). */
import { type Answer, json } from '../answer.ts'

const discover = {
  name: '_oci',
  url: 'https://github.com/opencontainers/distribution-spec/blob/main/extensions/_oci.md',
  description: 'lists the extensions',
  endpoints: ['_oci/ext/discover'],
}

const inventory = {
  name: '_ext',
  url: 'https://github.com/opencontainers/distribution-spec/blob/main/extensions/README.md',
  description:
    'lists what is held here: repositories, their namespaces, and the revisions and uploads of these',
  endpoints: [
    '_ext/_repositories',
    '_ext/{repository}/_namespaces',
    '_ext/{namespace}/_revisions',
    '_ext/{namespace}/_uploads',
  ],
}

/** @param name of a repository, whose own extensions are asked for; undefined: those of the registry */
export function answerDiscover(name: string | undefined): Answer {
  return json({ extensions: name === undefined ? [discover, inventory] : [discover] })
}
