import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { startBrowser, openPage } from "./world.js";
import { scene } from "./scene.js";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
let world, browser;
before(async () => ([world, browser] = await Promise.all([scene(), startBrowser()])));
after(async () => {
  await browser?.close();
  await world?.stop();
});

for (const colorScheme of ["light", "dark"]) {
  for (const width of [1280, 360]) {
    test(`axe finds nothing on any page, ${colorScheme}, ${width} px`, async () => {
      // axe is put in past the page's own policy, which lets nothing in.
      const { page, context, faults } = await openPage(browser, { colorScheme, viewport: { width, height: 900 }, bypassCSP: true });
      const judge = async (what) => {
        await page.evaluate(axe);
        const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
        assert.deepEqual(violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html.slice(0, 160)).join(" | ")}`), [], what);
        const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(over <= 0, `${what}: ${over} px too wide`);
      };
      await page.goto(`${world.relay.api}/console`);
      await page.getByRole("heading", { name: "Sign in" }).waitFor();
      await judge("sign in");
      await page.goto(world.relay.console);
      await page.getByRole("navigation", { name: "Main" }).waitFor();
      for (const [name, path, seen] of world.pages) {
        await page.goto(world.relay.api + path);
        await page.getByText(seen).first().waitFor();
        await page.waitForLoadState("networkidle");
        await judge(name);
      }
      for (const [name, path, button] of world.dialogs) {
        await page.goto(world.relay.api + path);
        if (button === "?") {
          await page.getByRole("navigation", { name: "Main" }).waitFor();
          await page.keyboard.press("?");
        } else await page.getByRole("button", { name: button, exact: true }).click();
        await page.getByRole("dialog").waitFor();
        await judge(name);
      }
      assert.deepEqual(faults, []);
      await context.close();
    });
  }
}
