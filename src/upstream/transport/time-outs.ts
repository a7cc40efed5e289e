/** What undici calls its own time-outs: of the connection, the headers, and the next bytes of the body. */
export const timeOuts: readonly string[] = [
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
]
