import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { generation, openPage, rivyaCall, startBrowser, startReceiver, startRelay, until } from "./world.js";

let relay, browser, receiver;
before(async () => ([relay, browser, receiver] = await Promise.all([startRelay(), startBrowser(), startReceiver()])));
after(async () => {
  await browser?.close();
  await relay?.stop();
  await receiver?.stop();
});

async function open(path) {
  const opened = await openPage(browser);
  await opened.page.goto(relay.console);
  await opened.page.goto(relay.api + path);
  return opened;
}

test("a source is set up step by step, and its first event shows", async () => {
  const { page, context, faults } = await open("/console/sources");
  await page.getByText("No source yet.").waitFor();
  await page.getByRole("link", { name: "New source" }).click();
  await page.getByLabel("Name").fill("Rivya production");
  await page.getByRole("button", { name: "Create source" }).click();
  await page.getByText("Until then calls are answered 503.").waitFor();
  const url = await page.locator(".cmd pre").first().textContent();
  assert.equal((await rivyaCall(url, "the provider's secret", generation("evt_1", "gen_1"))).status, 503);
  await page.getByLabel("Signing secret from Rivya").fill("the provider's secret");
  await page.getByRole("button", { name: "Store secret" }).click();
  await page.getByText("Nothing came yet.").waitFor();
  await until("taken", () => rivyaCall(url, "the provider's secret", generation("evt_1", "gen_1")), (r) => r.status === 200);
  await page.getByText("It takes calls.").waitFor();
  assert.deepEqual(faults, []);
  await context.close();
});

test("a Sivi source shows its URL hidden and copies it whole; its token is rotated", async () => {
  const { page, context, faults } = await open("/console/sources/new");
  await page.getByLabel("Provider").selectOption("sivi");
  await page.getByLabel("Name").fill("Sivi studio");
  await page.getByRole("button", { name: "Create source" }).click();
  await page.getByRole("heading", { name: "Sivi studio" }).waitFor();
  assert.match(await page.locator(".cmd pre").first().textContent(), /••••$/);
  await page.locator(".cmd").first().getByRole("button").click();
  const url = await until("the clipboard", () => page.evaluate(() => navigator.clipboard.readText()), (t) => t.includes("/in/"));
  assert.equal((await fetch(url, { method: "POST", body: '{"status":200,"body":{"requestId":"try-1","status":"complete","result":null}}' })).status, 200);
  await page.getByText("It takes calls.").waitFor();
  await page.getByRole("button", { name: "Rotate token" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Rotate" }).click();
  await page.getByRole("heading", { name: "The new ingest URL" }).waitFor();
  assert.notEqual(await page.getByRole("dialog").locator("pre").textContent(), url);
  assert.deepEqual(faults, []);
  await context.close();
});

test("a key is made with a scope, shown once, and revoked by its name", async () => {
  const { page, context, faults } = await open("/console/keys");
  await page.getByRole("button", { name: "New key" }).click();
  await page.getByLabel("Name").fill("Deployment");
  await page.getByRole("checkbox", { name: /events:publish/ }).check();
  await page.getByRole("button", { name: "Create key" }).click();
  const text = await page.getByRole("dialog").locator("pre").textContent();
  assert.match(text, /^rvya_sk_/);
  await page.getByRole("button", { name: "I have stored it" }).click();
  const row = page.getByRole("row", { name: /Deployment/ });
  await row.waitFor();
  assert.equal((await relay.call("GET", "/api/v1/current-key", undefined, { key: text })).name, "Deployment");
  await row.getByRole("button", { name: "Revoke" }).click();
  await page.getByRole("dialog").getByRole("textbox").fill("Deployment");
  await page.getByRole("button", { name: "Revoke key" }).click();
  await row.waitFor({ state: "detached" });
  await assert.rejects(relay.call("GET", "/api/v1/current-key", undefined, { key: text }), /api_key_revoked/);
  assert.deepEqual(faults, []);
  await context.close();
});

test("event types have a sample to copy", async () => {
  const { page, context } = await open("/console/types");
  await page.getByText("generation.succeeded").first().click();
  await page.getByText('"type": "generation.succeeded"').first().waitFor();
  await context.close();
});

test("a link for a customer opens the console with its scopes, and never the keys", async () => {
  const { page, context, faults } = await open("/console/keys");
  await page.getByRole("button", { name: "Link for a customer" }).click();
  await page.getByRole("button", { name: "Make link" }).click();
  const url = await page.getByRole("dialog").locator("pre").textContent();
  await context.close();
  const customer = await openPage(browser);
  await customer.page.goto(url);
  await customer.page.getByRole("navigation", { name: "Main" }).waitFor();
  assert.equal(customer.page.url().includes("rvya_sk_"), false);
  assert.equal(await customer.page.getByRole("link", { name: "Keys", exact: true }).count(), 0);
  await customer.page.getByText(/ends in 1\d min/).waitFor();
  assert.deepEqual([...faults, ...customer.faults], []);
  await customer.context.close();
});

test("the overview has the account's last hour as charts, and says what fails", async () => {
  const { page, context, faults } = await open("/console");
  await page.getByRole("heading", { name: "Nothing to deliver to yet" }).waitFor();
  receiver.status = 503;
  await relay.call("POST", "/api/v1/webhooks", { name: "Design inbox", url: receiver.url, event_types: ["*"] });
  for (let i = 0; i < 5; i++) await relay.call("POST", "/api/v1/webhook-events", { type: "order.paid", data: { order: i } });
  await page.getByRole("heading", { name: "Failed attempts" }).waitFor();
  await page.locator(".plot canvas").first().waitFor();
  await page.getByRole("img", { name: /^Failed attempts: between/ }).waitFor();
  await page.getByText("Last day").click();
  await page.waitForURL(/window=day/);
  await page.getByRole("img", { name: /in 15 minutes/ }).first().waitFor();
  assert.deepEqual(faults, []);
  await context.close();
});
