// Sends one of every call with the stock @segment/analytics-node: node segment.mjs <host> <write key>
import { createRequire } from 'node:module'

const require = createRequire(new URL('../../node/package.json', import.meta.url))
const { Analytics } = require('@segment/analytics-node')

const [host, writeKey] = process.argv.slice(2)
const analytics = new Analytics({ writeKey, host, maxRetries: 0 })
analytics.on('error', (error) => {
  console.error(error)
  process.exitCode = 1
})
analytics.identify({ userId: 'u-1', traits: { email: 'ann@example.org', plan: 'basic' } })
analytics.track({ userId: 'u-1', event: 'Order Completed', properties: { total: 25, currency: 'USD' } })
analytics.track({ userId: 'u-1', event: 'Note Written', properties: { text: '👤'.slice(0, 1) } })
analytics.page({ anonymousId: 'a-1', name: 'Pricing' })
analytics.screen({ userId: 'u-1', name: 'Home' })
analytics.group({ userId: 'u-1', groupId: 'acme', traits: { industry: 'telecom' } })
analytics.alias({ userId: 'u-1', previousId: 'a-1' })
await analytics.closeAndFlush()
