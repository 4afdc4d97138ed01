import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openPage, rivyaCall, startBrowser, startReceiver, startRelay, until } from "./world.js";

const secret = "a secret of the provider";
const script = `"><img src=x onerror="window.pwned=1"><script>window.pwned=1</script>`;
let relay, browser, receiver, source, ep;

before(async () => {
  [relay, browser, receiver] = await Promise.all([startRelay(), startBrowser(), startReceiver()]);
  receiver.status = 500;
  receiver.body = `${script}\u202eright to left\u0007`;
  source = await relay.call("POST", "/api/v1/sources", { provider: "rivya", name: script.slice(0, 100), signing_secret: secret });
  ep = await relay.call("POST", "/api/v1/webhooks", { name: `</title>${script}`.slice(0, 100), url: `${receiver.url}?q=%22%3E%3Cscript%3E&javascript:alert(1)`, event_types: ["*"] });
});
after(async () => {
  await browser?.close();
  await relay?.stop();
  await receiver?.stop();
});

const event = (id, data, type = "generation.succeeded") => `{"id":${JSON.stringify(id)},"type":"${type}","api_version":"2026-05-11","created_at":"2026-05-11T00:00:00.000Z","data":${data}}`;

async function show(id) {
  await until("listed", () => relay.call("GET", `/api/v1/webhook-events/${encodeURIComponent(id)}`).catch(() => null), Boolean);
  const opened = await openPage(browser);
  await opened.page.goto(relay.console);
  await opened.page.goto(`${relay.api}/console/events/${encodeURIComponent(id)}?of=${source.id}`);
  await opened.page.getByRole("heading", { name: "generation.succeeded" }).waitFor();
  return opened;
}

const take = async (body) => assert.equal((await rivyaCall(source.ingest_url, secret, body)).status, 200);

test("scripts, control and direction characters in payload, names and answers are text", async () => {
  const id = `evt/../<b>&?#%2F"'`;
  await take(event(id, JSON.stringify({ generation: { id: script, status: "succeeded", model: "a\u202eb\u0000\u0007\u200bc\ud800" } })));
  const { page, context, faults } = await show(id);
  await page.getByText("\\u202e").first().waitFor();
  for (const path of ["", "/events", "/endpoints", `/endpoints/${ep.id}`, "/sources", `/sources/${source.id}`]) {
    await page.goto(`${relay.api}/console${path}`);
    await page.getByRole("heading").first().waitFor();
    await page.waitForLoadState("networkidle");
    assert.equal(await page.evaluate(() => window.pwned), undefined, path);
    assert.equal(await page.locator("img, script:not([src])").count(), 0, path);
    assert.equal(await page.evaluate(() => /[\u202a-\u202e\u2066-\u2069\u0007]/.test(document.body.textContent)), false, path);
    assert.equal(await page.locator('a[href^="javascript:"]').count(), 0, path);
  }
  assert.deepEqual(faults, []);
  await context.close();
});

test("a string of 200 KB is cut until one asks for all of it", async () => {
  await take(event("evt_long", `{"text":"${"x".repeat(200_000)}"}`));
  const { page, context, faults } = await show("evt_long");
  await page.getByRole("button", { name: /Show .* more characters/ }).click();
  await until("the text", () => page.evaluate(() => document.querySelector(".json").textContent.length), (n) => n > 200_000);
  await page.getByText("As text").click();
  await page.locator("pre").first().waitFor();
  assert.deepEqual(faults, []);
  await context.close();
});

test("a payload 9,000 levels deep is shown, and its numbers stay as they were written", async () => {
  await take(event("evt_deep", `{"n":12345678901234567890.10,"deep":${"[".repeat(9000)}${"]".repeat(9000)}}`));
  const { page, context, faults } = await show("evt_deep");
  await page.getByText("12345678901234567890.10").first().waitFor();
  await page.getByRole("button", { name: "Show more lines" }).click();
  assert.deepEqual(faults, []);
  await context.close();
});

test("ten thousand members are drawn in parts", async () => {
  await take(event("evt_wide", `{${Array.from({ length: 9000 }, (_, i) => `"k${i}":${i}`).join(",")}}`));
  const { page, context, faults } = await show("evt_wide");
  assert.ok((await page.locator(".json p").count()) < 500);
  assert.deepEqual(faults, []);
  await context.close();
});

test("an answer of the API that is not what it should be leaves the frame standing", async () => {
  const { page, context } = await show("evt_wide");
  await page.route("**/api/v1/webhooks*", (route) => route.fulfill({ status: 200, contentType: "application/json", body: '{"data":[null,{"id":5}]}' }));
  await page.goto(`${relay.api}/console/endpoints`);
  await page.getByRole("navigation", { name: "Main" }).waitFor();
  await context.close();
});
