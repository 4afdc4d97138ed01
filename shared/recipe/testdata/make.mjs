// Makes the vectors of the presets with the providers' own libraries, and has
// each library accept what it made or checks. Run in a folder where they are
// installed: node make.mjs OUTPUT
import { createHmac, createPrivateKey, createPublicKey, createHash, sign as edSign } from 'node:crypto'
import { writeFileSync, readFileSync } from 'node:fs'
import assert from 'node:assert'

const NOW = 1770000000
const RealDate = Date
globalThis.Date = class extends RealDate {
  constructor(...a) { if (a.length) super(...a); else super(NOW * 1000) }
  static now() { return NOW * 1000 }
}
const out = process.argv[2]
const version = (p) => JSON.parse(readFileSync(`node_modules/${p}/package.json`)).version
const hmac = (key, text, enc = 'hex', hash = 'sha256') => createHmac(hash, key).update(text).digest(enc)
const write = (name, lib, how, v) => writeFileSync(`${out}/${name}.json`, JSON.stringify({
  preset: name, proof: lib ? `npm ${lib} ${version(lib)}: ${how}` : how, now: NOW, ...v,
}, null, 2) + '\n')

const WHSEC = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
const TEXT = 'sample secret of a vector 0001'

{ // github
  const { sign, verify } = await import('@octokit/webhooks-methods')
  const body = '{"action":"opened","issue":{"number":7,"title":"Grüße"},"repository":{"full_name":"octo/hello"}}'
  const sig = await sign(TEXT, body)
  assert(await verify(TEXT, body, sig))
  write('github', '@octokit/webhooks-methods', 'sign and verify', { secret: TEXT, body,
    headers: { 'X-Hub-Signature-256': sig, 'X-GitHub-Event': 'issues', 'X-GitHub-Delivery': '72d3162e-cc78-11e3-81ab-4c9367dc0958' },
    want: { id: '72d3162e-cc78-11e3-81ab-4c9367dc0958', type: 'github.issues', subject: 'octo/hello' } })
}
{ // stripe
  const Stripe = (await import('stripe')).default
  const wh = Stripe.webhooks ?? new Stripe('x').webhooks
  const body = '{"id":"evt_1","object":"event","type":"payment_intent.succeeded","data":{"object":{"id":"pi_1","amount":2000}}}'
  const secret = 'whsec_of_a_vector_0001'
  const header = wh.generateTestHeaderString({ payload: body, secret, timestamp: NOW })
  wh.constructEvent(body, header, secret)
  write('stripe', 'stripe', 'webhooks.generateTestHeaderString and constructEvent', { secret, body, headers: { 'Stripe-Signature': header },
    want: { id: 'evt_1', type: 'payment_intent.succeeded', subject: 'pi_1' } })
}
{ // shopify
  await import('@shopify/shopify-api/adapters/node')
  const { shopifyApi } = await import('@shopify/shopify-api')
  const shopify = shopifyApi({ apiKey: 'k', apiSecretKey: TEXT, scopes: ['read_orders'], hostName: 'x.example', apiVersion: '2026-01', isEmbeddedApp: false, logger: { level: 0 } })
  const body = '{"id":820982911946154508,"email":"jon@example.com","total_price":"403.00"}'
  const headers = { 'X-Shopify-Hmac-Sha256': hmac(TEXT, body, 'base64'), 'X-Shopify-Topic': 'orders/create', 'X-Shopify-Shop-Domain': 'x.myshopify.com', 'X-Shopify-API-Version': '2026-01', 'X-Shopify-Webhook-Id': 'b54557e4-bdd9-4b37-8a5f-bf7d70bcd043' }
  const res = await shopify.webhooks.validate({ rawBody: body, rawRequest: { method: 'POST', url: '/', headers }, rawResponse: {} })
  assert(res.valid, JSON.stringify(res))
  write('shopify', '@shopify/shopify-api', 'webhooks.validate', { secret: TEXT, body, headers,
    want: { id: headers['X-Shopify-Webhook-Id'], type: 'shopify.orders_create', subject: '820982911946154508' } })
}
const { Webhook: Standard } = await import('standardwebhooks')
const { Webhook: Svix } = await import('svix')
const when = new RealDate(NOW * 1000)
for (const [name, body, id, type, subject] of [
  ['svix', '{"type":"invoice.paid","data":{"id":"in_1"}}', 'msg_loFOjxBNrRLzqYUf', 'invoice.paid', ''],
  ['clerk', '{"type":"user.created","object":"event","data":{"id":"user_1"}}', 'msg_2', 'user.created', 'user_1'],
  ['resend', '{"type":"email.delivered","created_at":"2026-02-02T02:40:00.000Z","data":{"email_id":"e-1"}}', 'msg_3', 'email.delivered', 'e-1'],
]) {
  const sig = new Svix(WHSEC).sign(id, when, body)
  const headers = { 'svix-id': id, 'svix-timestamp': String(NOW), 'svix-signature': sig }
  new Svix(WHSEC).verify(body, headers)
  let lib = 'svix', how = 'Webhook.sign and verify'
  if (name === 'resend') {
    const { Resend } = await import('resend')
    new Resend('re_x').webhooks.verify({ payload: body, headers: { id, timestamp: String(NOW), signature: sig }, webhookSecret: WHSEC })
    lib = 'resend'; how = 'webhooks.verify'
  }
  write(name, lib, how, { secret: WHSEC, body, headers, want: { id, type, subject } })
}
{ // replicate
  const { validateWebhook } = await import('replicate')
  const body = '{"id":"ufawqhfynnddngldkgtslldrkq","status":"succeeded","output":["https://replicate.example/out.png"],"error":null}'
  const id = 'msg_replicate_1'
  const sig = new Standard(WHSEC).sign(id, when, body)
  assert(await validateWebhook({ id, timestamp: String(NOW), signature: sig, body, secret: WHSEC }))
  write('replicate', 'replicate', 'validateWebhook', { secret: WHSEC, body, headers: { 'webhook-id': id, 'webhook-timestamp': String(NOW), 'webhook-signature': sig },
    want: { id, type: 'replicate.succeeded', subject: 'ufawqhfynnddngldkgtslldrkq' } })
}
{ // openai
  const OpenAI = (await import('openai')).default
  const body = '{"object":"event","id":"evt_685343a1381c819085d44c354e1b330e","type":"response.completed","created_at":1770000000,"data":{"id":"resp_1"}}'
  const id = 'wh_685342e6c53c8190a1be43f081506c52'
  const headers = { 'webhook-id': id, 'webhook-timestamp': String(NOW), 'webhook-signature': new Standard(WHSEC).sign(id, when, body) }
  await new OpenAI({ apiKey: 'x' }).webhooks.verifySignature(body, headers, WHSEC)
  write('openai', 'openai', 'webhooks.verifySignature', { secret: WHSEC, body, headers, want: { id, type: 'response.completed', subject: 'resp_1' } })
}
{ // linear
  const { LinearWebhookClient, LinearWebhooks } = await import('@linear/sdk/webhooks')
  const body = '{"action":"create","type":"Issue","data":{"id":"2174add1-f7c8-44e3-bbf3-2d60b5ea8bc9"},"webhookTimestamp":1770000000000}'
  const sig = hmac(TEXT, body)
  assert(new (LinearWebhookClient ?? LinearWebhooks)(TEXT).verify(Buffer.from(body), sig, NOW * 1000))
  write('linear', '@linear/sdk', 'LinearWebhookClient.verify', { secret: TEXT, body, headers: { 'Linear-Signature': sig, 'Linear-Delivery': '234d1a4e-b617-4388-90fe-adc3633d6b72', 'Linear-Event': 'Issue' },
    want: { id: '234d1a4e-b617-4388-90fe-adc3633d6b72', type: 'issue.create', subject: '2174add1-f7c8-44e3-bbf3-2d60b5ea8bc9' } })
}
{ // paddle
  const { Paddle } = await import('@paddle/paddle-node-sdk')
  const body = '{"event_id":"evt_01","event_type":"transaction.completed","occurred_at":"2026-02-02T02:40:00Z","data":{"id":"txn_01"}}'
  const header = `ts=${NOW};h1=${hmac(TEXT, NOW + ':' + body)}`
  assert(await new Paddle('x').webhooks.isSignatureValid(body, TEXT, header))
  write('paddle', '@paddle/paddle-node-sdk', 'webhooks.isSignatureValid', { secret: TEXT, body, headers: { 'Paddle-Signature': header }, want: { id: 'evt_01', type: 'transaction.completed', subject: 'txn_01' } })
}
{ // mux
  const Mux = (await import('@mux/mux-node')).default
  const body = '{"type":"video.asset.ready","id":"e-9","object":{"type":"asset","id":"a-1"}}'
  const headers = { 'Mux-Signature': `t=${NOW},v1=${hmac(TEXT, NOW + '.' + body)}` }
  await new Mux({ tokenId: 'x', tokenSecret: 'y' }).webhooks.verifySignature(body, headers, TEXT)
  write('mux', '@mux/mux-node', 'webhooks.verifySignature', { secret: TEXT, body, headers, want: { id: 'e-9', type: 'video.asset.ready', subject: 'a-1' } })
}
{ // workos
  const { WorkOS } = await import('@workos-inc/node')
  const payload = { id: 'event_01', event: 'dsync.user.created', data: { id: 'directory_user_01' }, created_at: '2026-02-02T02:40:00.000Z' }
  const body = JSON.stringify(payload), t = NOW * 1000
  const header = `t=${t}, v1=${hmac(TEXT, t + '.' + body)}`
  const hook = new WorkOS('x').webhooks
  assert(await hook.verifyHeader({ payload, sigHeader: header, secret: TEXT }))
  write('workos', '@workos-inc/node', 'webhooks.verifyHeader', { secret: TEXT, body, headers: { 'WorkOS-Signature': header }, want: { id: 'event_01', type: 'dsync.user.created', subject: 'directory_user_01' } })
}
const seed = Buffer.alloc(32, 7)
const priv = createPrivateKey({ key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]), format: 'der', type: 'pkcs8' })
const pubRaw = createPublicKey(priv).export({ format: 'der', type: 'spki' }).subarray(-32)
{ // telnyx
  const Telnyx = (await import('telnyx')).default
  const body = '{"data":{"event_type":"message.received","id":"b301ed3f-1490-491f-995f-6e64e69674d4","occurred_at":"2026-02-02T02:40:00.000Z","payload":{"id":"m-1"}}}'
  const headers = { 'telnyx-signature-ed25519': edSign(null, Buffer.from(NOW + '|' + body), priv).toString('base64'), 'telnyx-timestamp': String(NOW) }
  const secret = pubRaw.toString('base64')
  await new Telnyx({ apiKey: 'x' }).webhooks.unwrap(body, { headers, key: secret })
  write('telnyx', 'telnyx', 'webhooks.unwrap', { secret, body, headers, want: { id: 'b301ed3f-1490-491f-995f-6e64e69674d4', type: 'message.received', subject: 'm-1' } })
}
{ // razorpay
  const Razorpay = (await import('razorpay')).default
  const body = '{"entity":"event","event":"payment.captured","payload":{"payment":{"entity":{"id":"pay_1"}}}}'
  const sig = hmac(TEXT, body)
  assert(Razorpay.validateWebhookSignature(body, sig, TEXT))
  write('razorpay', 'razorpay', 'validateWebhookSignature', { secret: TEXT, body, headers: { 'X-Razorpay-Signature': sig, 'X-Razorpay-Event-Id': 'rzp_evt_1' }, want: { id: 'rzp_evt_1', type: 'payment.captured', subject: '' } })
}
