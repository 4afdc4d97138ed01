import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { after, before, test } from "node:test";
import { openPage, startBrowser, startReceiver, startRelay, until } from "./world.js";

const sign = (secret, text) => createHmac("sha256", secret).update(text).digest("hex");

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

test("an endpoint is made, its URL's fault told as one types, its secret shown once, and a test arrives", async () => {
  const { page, context, faults } = await open("/console/endpoints");
  await page.getByText("No endpoint yet.").waitFor();
  await page.getByRole("link", { name: "New endpoint" }).click();
  await page.getByLabel("Name").fill("Order desk");
  await page.getByLabel("URL").fill("ftp://example.com/hook");
  await page.locator(".fault").waitFor();
  assert.equal(await page.getByRole("button", { name: "Create endpoint" }).isDisabled(), true);
  await page.getByLabel("URL").fill(receiver.url);
  await page.locator(".fault").waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Create endpoint" }).click();
  await page.getByRole("heading", { name: "Order desk is there" }).waitFor();
  const secret = await page.locator(".cmd pre").textContent();
  assert.match(secret, /^whsec_/);
  await page.getByRole("button", { name: "Copy" }).click();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), secret);
  await page.getByRole("button", { name: "Send a test" }).click();
  await page.getByRole("status").getByText("Succeeded").waitFor();
  const got = receiver.calls.at(-1);
  assert.equal(JSON.parse(got.body).type, "webhook.test");
  assert.ok(got.headers["rivya-webhook-signature"].includes(sign(secret, `${got.headers["rivya-webhook-timestamp"]}.${got.body}`)), "the secret that was shown is the one that signs");
  await page.getByRole("link", { name: "I have stored it" }).click();
  await page.getByRole("heading", { name: "Order desk" }).waitFor();
  assert.equal((await page.content()).includes(secret), false, "the secret is gone from the page");
  await page.getByText("webhook.test").first().waitFor();
  assert.deepEqual(faults, []);
  await context.close();
});

test("a rotation shows the new secret once and until when both sign", async () => {
  const [ep] = (await relay.call("GET", "/api/v1/webhooks")).data;
  const { page, context, faults } = await open(`/console/endpoints/${ep.id}`);
  await page.getByRole("button", { name: "Rotate" }).click();
  await page.getByLabel("The old one signs too for").selectOption("3600");
  await page.getByRole("dialog").getByRole("button", { name: "Rotate" }).click();
  const secret = await page.getByRole("dialog").locator("pre").textContent();
  assert.match(secret, /^whsec_/);
  await page.getByRole("button", { name: "I have stored it" }).click();
  await page.getByText("Two secrets sign until").waitFor();
  await page.reload();
  await page.getByText("Two secrets sign until").waitFor();
  await page.getByRole("button", { name: "Send a test" }).click();
  await page.getByRole("status").getByText("Succeeded").waitFor();
  assert.equal(receiver.calls.at(-1).headers["rivya-webhook-signature"].split(",").length, 2);
  assert.deepEqual(faults, []);
  await context.close();
});

test("settings are changed, and a fault stands at its field", async () => {
  const [ep] = (await relay.call("GET", "/api/v1/webhooks")).data;
  const { page, context, faults } = await open(`/console/endpoints/${ep.id}`);
  const settings = page.locator("#settings");
  await settings.getByLabel("Name").fill("Order desk 2");
  await settings.getByLabel("Another type").fill("Not A Type");
  await settings.getByLabel("Another type").press("Enter");
  await settings.getByRole("button", { name: "Save settings" }).click();
  await settings.locator(".fault").waitFor();
  await settings.getByRole("checkbox", { name: "Not A Type" }).click();
  await settings.getByLabel("Another type").fill("order.paid");
  await settings.getByLabel("Another type").press("Enter");
  await settings.getByRole("button", { name: "Save settings" }).click();
  await page.getByRole("heading", { name: "Order desk 2" }).waitFor();
  assert.deepEqual((await relay.call("GET", `/api/v1/webhooks/${ep.id}`)).event_types, ["order.paid"]);
  assert.deepEqual(faults, []);
  await context.close();
});

test("what an endpoint missed while it was disabled is counted, replayed and watched", async () => {
  const [ep] = (await relay.call("GET", "/api/v1/webhooks")).data;
  const { page, context, faults } = await open(`/console/endpoints/${ep.id}`);
  await page.getByRole("button", { name: "Disable" }).click();
  await page.getByText("It is disabled by hand").waitFor();
  for (let i = 0; i < 3; i++) await relay.call("POST", "/api/v1/webhook-events", { type: "order.paid", data: { order: i } });
  await until("skipped", () => relay.call("GET", `/api/v1/webhooks/${ep.id}/deliveries?status=skipped`), (l) => l.data.length === 3);
  await page.getByRole("button", { name: "Enable" }).click();
  await page.getByRole("button", { name: "Disable" }).waitFor();
  const had = receiver.calls.length;
  await page.getByRole("button", { name: "Count what would be sent" }).click();
  await page.getByText("3 deliveries would be sent.").waitFor();
  assert.equal(receiver.calls.length, had, "counting sends nothing");
  await page.getByRole("button", { name: "Send 3 deliveries again" }).click();
  await page.waitForURL(/\/console\/replays\/rpl_/);
  await page.getByText("Completed").waitFor();
  await page.getByText("3 deliveries started.").waitFor();
  assert.equal(receiver.calls.length, had + 3);
  assert.deepEqual(faults, []);
  await context.close();
});

test("a replay is cancelled after a question", async () => {
  const [ep] = (await relay.call("GET", "/api/v1/webhooks")).data;
  await Promise.all(Array.from({ length: 60 }, (_, i) => relay.call("POST", "/api/v1/webhook-events", { type: "order.paid", data: { order: i } })));
  await until("sent", () => receiver.calls.length, (n) => n >= 60);
  const r = await relay.call("POST", `/api/v1/webhooks/${ep.id}/replay`, { since: new Date(Date.now() - 3600e3).toISOString(), status: "all", max_per_second: 1 });
  const { page, context } = await open(`/console/replays/${r.id}`);
  await page.getByRole("button", { name: "Cancel…" }).click();
  await page.getByRole("button", { name: "Cancel the replay" }).click();
  await page.getByText("Cancelled", { exact: true }).waitFor();
  await context.close();
});

test("an endpoint is deleted only once its name is typed", async () => {
  const [ep] = (await relay.call("GET", "/api/v1/webhooks")).data;
  const { page, context, faults } = await open(`/console/endpoints/${ep.id}`);
  await page.getByRole("button", { name: "Delete…" }).click();
  await until("the focus, which is the safe button's", () => page.evaluate(() => document.activeElement.textContent), (text) => text === "Keep it");
  const remove = page.getByRole("button", { name: "Delete endpoint" });
  assert.equal(await remove.isDisabled(), true);
  await page.getByRole("dialog").getByRole("textbox").fill("Order desk 2");
  await remove.click();
  await page.getByText("It was deleted").waitFor();
  assert.notEqual((await relay.call("GET", `/api/v1/webhooks/${ep.id}`)).revoked_at, null);
  assert.deepEqual(faults, []);
  await context.close();
});
