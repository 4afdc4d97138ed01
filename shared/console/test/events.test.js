import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { generation, openPage, rivyaCall, startBrowser, startReceiver, startRelay, until } from "./world.js";

const secret = "a secret of the provider";
let relay, browser, good, bad, source, failing;

before(async () => {
  [relay, browser, good, bad] = await Promise.all([startRelay(), startBrowser(), startReceiver(), startReceiver()]);
  bad.status = 503;
  bad.body = '{"error":"the pool is full"}';
  source = await relay.call("POST", "/api/v1/sources", { provider: "rivya", name: "Rivya production", signing_secret: secret });
  await relay.call("POST", "/api/v1/webhooks", { name: "Production orders", url: good.url, event_types: ["*"] });
  failing = await relay.call("POST", "/api/v1/webhooks", { name: "Design inbox", url: bad.url, event_types: ["generation.succeeded"] });
  await relay.call("POST", "/api/v1/webhooks", { name: "Billing archive", url: good.url, event_types: ["order.paid"] });
  assert.equal((await rivyaCall(source.ingest_url, secret, generation("evt_of_the_provider", "gen_1"))).status, 200);
  await until("listed", () => relay.call("GET", "/api/v1/webhook-events"), (l) => l.data.length === 1);
});
after(async () => {
  await browser?.close();
  await relay?.stop();
  await good?.stop();
  await bad?.stop();
});

async function open(path = "/console/events") {
  const opened = await openPage(browser);
  await opened.page.goto(relay.console);
  await opened.page.goto(relay.api + path);
  await opened.page.getByRole("heading", { name: "Events", exact: true }).waitFor();
  return opened;
}

test("new events wait behind a quiet bar until they are asked for, also by key", async () => {
  const { page, context, faults } = await open();
  const rows = page.locator(".list [data-row]");
  await rows.first().waitFor();
  const before = await rows.count();
  for (let i = 0; i < 3; i++) await relay.call("POST", "/api/v1/webhook-events", { type: "order.paid", data: { order: i } });
  await page.getByRole("button", { name: "Show 3 new events" }).waitFor();
  assert.equal(await rows.count(), before, "nothing moves under the reader");
  await page.keyboard.press("n");
  await until("the rows", () => rows.count(), (n) => n === before + 3);
  assert.equal(await page.evaluate(() => document.activeElement.textContent.includes("order.paid")), true);
  assert.deepEqual(faults, []);
  await context.close();
});

test("filters stand in the address, and a view that finds nothing offers to clear them", async () => {
  const { page, context } = await open();
  await page.getByLabel("Status").selectOption("rejected");
  await page.waitForURL(/status=rejected/);
  await page.getByText("No event fits these filters.").waitFor();
  await page.reload();
  await page.getByText("No event fits these filters.").waitFor();
  await page.locator(".empty").getByRole("button", { name: "Clear filters" }).click();
  await page.locator(".list [data-row]").first().waitFor();
  await page.getByLabel("Type").fill("generation.succeeded");
  await page.getByLabel("Type").press("Enter");
  await page.waitForURL(/type=generation.succeeded/);
  await until("the rows", () => page.locator(".list [data-row]").count(), (n) => n === 1);
  await context.close();
});

test("one event shows who has it, who does not, and why", async () => {
  const { page, context, faults } = await open(`/console/events/evt_of_the_provider?of=${source.id}`);
  await page.getByRole("heading", { name: "generation.succeeded" }).waitFor();
  await page.getByText("1 of 2 endpoints has it.").waitFor();
  await page.getByText("503 Service Unavailable").first().waitFor();
  await page.getByText("It asks for order.paid; this is generation.succeeded.").waitFor();
  await page.getByText('{"error":"the pool is full"}').waitFor();
  await page.getByText('"final_credits":').waitFor();
  assert.deepEqual(faults, []);
  await context.close();
});

test("a failed delivery is retried and turns without a reload, by keyboard alone", async () => {
  const { page, context, faults } = await open();
  bad.status = 200;
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement.id), "q");
  await page.keyboard.type("evt_of_the_provider");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "generation.succeeded" }).waitFor();
  await page.getByRole("button", { name: "Retry now" }).waitFor();
  await page.keyboard.press("r");
  await page.getByText("All 2 endpoints have it.").waitFor();
  await page.getByText("Run 2").first().waitFor();
  await page.keyboard.press("c");
  assert.equal(await until("the clipboard", () => page.evaluate(() => navigator.clipboard.readText()), Boolean), "evt_of_the_provider");
  await page.keyboard.press("Escape");
  await page.waitForURL((url) => url.pathname === "/console/events");
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  await page.keyboard.press("k");
  await page.keyboard.press("Enter");
  await page.waitForURL((url) => url.pathname.startsWith("/console/events/"));
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keyboard" }).waitFor();
  await page.keyboard.press("Escape");
  assert.equal(await page.getByRole("dialog").count(), 0);
  assert.deepEqual(faults, []);
  await context.close();
});

test("the search finds by id, and by a pasted payload, and sends no secret anywhere", async () => {
  const { page, context, faults } = await open();
  const box = page.getByRole("searchbox");
  await box.fill(JSON.stringify(generation("evt_of_the_provider", "gen_1"), null, 2));
  await box.press("Enter");
  await page.waitForURL(/evt_of_the_provider/);
  await box.fill("nothing that there is");
  await box.press("Enter");
  await page.getByText("No event has the id or subject nothing that there is.").waitFor();
  await box.fill("whsec_abcdefgh");
  await box.press("Enter");
  await page.getByText("That is a secret, so it is not searched for.").waitFor();
  assert.deepEqual(faults, []);
  await context.close();
});

test("an event that is not there, and a page that is not there, are said plainly", async () => {
  const { page, context } = await open("/console/events/evt_nobody_knows");
  await page.getByRole("heading", { name: "There is no such event" }).waitFor();
  await page.goto(`${relay.api}/console/nowhere`);
  await page.getByRole("heading", { name: "There is no such page" }).waitFor();
  await context.close();
});

test("an event is found by its subject; why it was not matched is told to the clause; the filter is changed and it is delivered", async () => {
  const ep = await relay.call("POST", "/api/v1/webhooks", { name: "Billing credits", url: good.url, event_types: ["generation.succeeded"], filter: { data: { generation: { model: [{ prefix: "rivya-" }], final_credits: [{ numeric: [">=", 100] }] } } } });
  assert.equal((await rivyaCall(source.ingest_url, secret, generation("evt_filtered", "gen_filtered"))).status, 200);
  await until("listed", () => relay.call("GET", "/api/v1/webhook-events?subject=gen_filtered"), (l) => l.data.length === 1);
  const { page, context, faults } = await open();
  await page.keyboard.press("/");
  await page.keyboard.type("gen_filtered");
  await page.keyboard.press("Enter");
  await page.waitForURL(/evt_filtered/);
  const clause = page.getByRole("row", { name: /final_credits/ });
  await clause.getByText("numeric >= 100").waitFor();
  await clause.getByText("42").waitFor();
  await page.getByRole("row", { name: /model/ }).getByText("Holds:").waitFor();
  await page.locator("mark").getByText("42").waitFor();
  await page.getByRole("link", { name: "Change the filter" }).click();
  await page.getByRole("heading", { name: "Billing credits" }).waitFor();
  const tries = page.locator(".tries li", { hasText: "gen_filtered" });
  await tries.getByText("Does not go out:").waitFor();
  const pattern = page.getByLabel("Pattern");
  await pattern.fill('{"data":{"generation":{"final_credits":[{"numeric":["above",40]}]}}}');
  await page.locator("#filter .fault").waitFor();
  assert.equal(await page.getByRole("button", { name: "Save filter" }).isDisabled(), true);
  await pattern.fill('{"data":{"generation":{"final_credits":[{"numeric":[">=",40]}]}}}');
  await tries.getByText("Goes out:", { exact: true }).waitFor();
  const had = good.calls.length;
  assert.equal((await relay.call("GET", `/api/v1/webhooks/${ep.id}`)).filter.data.generation.final_credits[0].numeric[1], 100, "trying changes nothing");
  await page.getByRole("button", { name: "Save filter" }).click();
  await until("the filter", () => relay.call("GET", `/api/v1/webhooks/${ep.id}`), (e) => e.filter.data.generation.final_credits[0].numeric[1] === 40);
  assert.equal(good.calls.length, had, "nothing was sent by trying");
  await page.goBack();
  await page.getByRole("heading", { name: "generation.succeeded" }).waitFor();
  await page.getByRole("listitem").filter({ hasText: "Billing credits" }).getByRole("button", { name: "Match again and deliver" }).click();
  await until("the delivery", () => good.calls.filter((c) => c.headers["rivya-webhook-endpoint-id"] === ep.id).length, (n) => n === 1);
  await page.getByText(/All \d endpoints have it|of \d endpoints have it/).waitFor();
  assert.deepEqual(faults, []);
  await context.close();
});

test("a signature is checked in the page, with the secret that stays in it", async () => {
  const ep = await relay.call("POST", "/api/v1/webhooks", { name: "Checked", url: good.url, event_types: ["order.*"] });
  const ev = await relay.call("POST", "/api/v1/webhook-events", { type: "order.paid", data: { text: "ü \u2028 </script>" } });
  await until("delivered", () => relay.call("GET", `/api/v1/webhook-events/${ev.id}`).catch(() => null), (e) => e?.attempts?.some((a) => a.endpoint_id === ep.id));
  const { page, context, faults } = await open(`/console/events/${ev.id}`);
  await page.getByRole("listitem").filter({ hasText: "Checked" }).getByRole("button", { name: /Attempt 1/ }).click();
  await page.getByRole("heading", { name: "Attempt 1 to Checked" }).waitFor();
  await page.keyboard.press("v");
  const field = page.getByLabel("3. Check it here with your secret");
  await field.fill("whsec_another");
  await page.getByText("No signature matches").waitFor();
  await field.fill(ep.signing_secret);
  await page.getByText("The signature is right.").waitFor();
  // All have it: r sends nothing.
  const sent = [];
  page.on("request", (request) => request.method() === "POST" && sent.push(request.url()));
  await page.getByRole("heading", { name: "Verify it yourself" }).click();
  await page.keyboard.press("r");
  await page.keyboard.press("c");
  await until("the clipboard", () => page.evaluate(() => navigator.clipboard.readText()), (t) => t === ev.id);
  assert.deepEqual(sent, []);
  await page.getByText("Python").click();
  await page.getByText("hmac.compare_digest").waitFor();
  assert.deepEqual(faults, []);
  await context.close();
});
