import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openPage, startBrowser, startRelay } from "./world.js";

let relay, browser;
before(async () => ([relay, browser] = await Promise.all([startRelay(), startBrowser()])));
after(async () => {
  await browser?.close();
  await relay?.stop();
});

test("the link that dev prints signs in, and its key stands in no address", async () => {
  const { page, context, faults } = await openPage(browser);
  await page.goto(relay.console);
  await page.getByRole("navigation", { name: "Main" }).waitFor();
  assert.equal(new URL(page.url()).hash, "");
  assert.equal(await page.evaluate(() => history.length <= 2), true);
  assert.equal(await page.evaluate(() => sessionStorage.getItem("hookferry.key")), relay.api_key);
  assert.equal(await page.evaluate(() => Object.keys(localStorage).length), 0);
  await page.reload();
  await page.getByRole("navigation", { name: "Main" }).waitFor();
  assert.deepEqual(faults, []);
  await context.close();
});

test("the root sends a browser to the console", async () => {
  const { page, context } = await openPage(browser);
  await page.goto(`${relay.api}/`);
  assert.equal(new URL(page.url()).pathname, "/console");
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await context.close();
});

test("a key signs in; what is none is told before it is sent, a wrong one after", async () => {
  const { page, context, faults } = await openPage(browser);
  await page.goto(`${relay.api}/console/events?status=failed`);
  const field = page.getByLabel("API key");
  await field.fill("whsec_abc");
  await page.getByText("An API key begins with rvya_sk_").waitFor();
  assert.equal(await page.getByRole("button", { name: "Sign in" }).isDisabled(), true);
  await field.fill("rvya_sk_unknown");
  await field.press("Enter");
  await page.getByText("There is no such API key.").waitFor();
  await field.fill(relay.api_key);
  await field.press("Enter");
  await page.getByRole("heading", { name: "Events", exact: true }).waitFor();
  assert.equal(new URL(page.url()).search, "?status=failed", "the page's address is kept");
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.getItem("hookferry.key")), null);
  assert.deepEqual(faults, []);
  await context.close();
});

test("a key that is revoked while the page is open signs out and says so", async () => {
  const made = await relay.call("POST", "/api/v1/api-keys", { name: "short lived", scopes: ["webhooks:manage"] });
  const { page, context } = await openPage(browser);
  await page.goto(`${relay.api}/console/events#key=${made.api_key}`);
  await page.getByRole("heading", { name: "Events", exact: true }).waitFor();
  assert.equal(await page.getByRole("link", { name: "Keys", exact: true }).count(), 0, "a page that the key may not read is not offered");
  await relay.call("DELETE", `/api/v1/api-keys/${made.id}`);
  await page.getByText("This key was revoked while the page was open.").waitFor({ timeout: 20000 });
  await page.getByLabel("API key").fill(relay.api_key);
  await page.getByLabel("API key").press("Enter");
  await page.getByRole("heading", { name: "Events", exact: true }).waitFor();
  await context.close();
});

for (const [name, answer, says] of [
  ["429", { status: 429, headers: { "Retry-After": "2" }, body: '{"message":"Too Many Requests"}' }, "Too many calls."],
  ["503", { status: 503, body: '{"error":{"code":"unavailable","message":"x","requestId":"req_1"}}' }, "The API answered 503"],
  ["a gateway's page", { status: 502, contentType: "text/html", body: "<h1>Bad Gateway</h1>" }, "The API answered 502"],
  ["nothing", null, "The API cannot be reached."],
]) {
  test(`an API that answers ${name} is told plainly, and the page goes on by itself`, async () => {
    const { page, context } = await openPage(browser);
    await page.goto(relay.console);
    await page.goto(`${relay.api}/console/events`);
    await page.getByText(/^Live/).waitFor();
    await page.route("**/api/v1/**", (route) => (answer ? route.fulfill(answer) : route.abort()));
    await page.getByText("What you see stopped at").waitFor();
    await page.getByText(says).waitFor();
    await page.getByText("Deliveries go on without the console.").waitFor();
    await page.unroute("**/api/v1/**");
    await page.getByText("What you see stopped at").waitFor({ state: "detached", timeout: 20000 });
    await context.close();
  });
}

test("the theme is the system's until the button is pressed, and is kept", async () => {
  const { page, context } = await openPage(browser, { colorScheme: "dark" });
  await page.goto(relay.console);
  await page.getByRole("navigation", { name: "Main" }).waitFor();
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  assert.equal(await background(), "rgb(13, 15, 18)");
  await page.getByRole("button", { name: "Dark theme" }).click();
  assert.equal(await background(), "rgb(246, 247, 248)");
  await page.reload();
  await page.getByRole("navigation", { name: "Main" }).waitFor();
  assert.equal(await background(), "rgb(246, 247, 248)");
  await context.close();
});
