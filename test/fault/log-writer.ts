/** A process that logs a great deal at once, and says on standard error when it goes on: `log-writer.ts <lines>`. */
import { Lines } from '../../src/observe/lines.ts'
import { createLogger } from '../../src/observe/log.ts'

const log = createLogger('info')
const lines = new Lines(log)
const filling = 'x'.repeat(1000)
for (let nth = 0; nth < Number(process.argv[2]); nth += 1) {
  if (nth % 100 === 0) log.info({ nth, filling }, 'by the logger')
  else lines.info({ nth, filling }, 'ready made')
}
setTimeout(() => process.stderr.write('going on\n'))
