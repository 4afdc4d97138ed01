// The world of a browser test: a relay that runs in a folder of its own, a
// destination whose answers the test chooses, and a real headless Chromium.
import { spawn, execFileSync } from "node:child_process";
import { createHmac } from "node:crypto";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const repository = fileURLToPath(new URL("../../..", import.meta.url));

const browserPath = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((p) => p && existsSync(p));

let binary = process.env.HOOKFERRY || ""; // a program that is built already

// program builds the relay once for all tests of a process.
function program() {
  if (!binary) {
    binary = join(mkdtempSync(join(tmpdir(), "hookferry-console-")), "hookferry");
    execFileSync("go", ["build", "-o", binary, "./functions/hookferry"], { cwd: repository, stdio: "inherit" });
    process.on("exit", () => rmSync(join(binary, ".."), { recursive: true, force: true }));
  }
  return binary;
}

// startRelay runs dev with retries that are quick enough to be waited for.
export async function startRelay(env = {}) {
  const data = mkdtempSync(join(tmpdir(), "hookferry-console-data-"));
  const child = spawn(program(), ["dev", "-addr", "127.0.0.1:0", "-data", data], {
    env: { PATH: process.env.PATH, HOME: data, RETRY_SCHEDULE: "0s,1s,1h", LOG_LEVEL: "error", ...env }, stdio: ["ignore", "pipe", "inherit"],
  });
  const lines = createInterface({ input: child.stdout });
  const ready = await new Promise((resolve, reject) => {
    lines.once("line", (line) => resolve(JSON.parse(line)));
    child.once("exit", (code) => reject(new Error(`dev ended with ${code}`)));
  });
  const stop = async () => {
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    await gone;
    rmSync(data, { recursive: true, force: true });
  };
  const call = async (method, path, body, { key = ready.api_key, headers = {} } = {}) => {
    const response = await fetch(ready.api + path, {
      method, headers: { Authorization: `Bearer ${key}`, ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...headers },
      body: body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body),
    });
    const text = await response.text();
    const answer = text ? JSON.parse(text) : null;
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return answer;
  };
  return { ...ready, call, stop, pid: child.pid };
}

// startReceiver is a destination: it answers with its status, and keeps what came.
export async function startReceiver() {
  const receiver = { status: 200, body: "{}", calls: [], wait: null };
  const server = createServer((request, response) => {
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", async () => {
      receiver.calls.push({ path: request.url, headers: request.headers, body: Buffer.concat(parts).toString() });
      if (receiver.wait) await receiver.wait;
      response.writeHead(receiver.status, { "Content-Type": "application/json" });
      response.end(receiver.body);
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  receiver.url = `http://127.0.0.1:${server.address().port}/hook`;
  receiver.stop = () => new Promise((resolve) => {
    server.closeAllConnections();
    server.close(resolve);
  });
  return receiver;
}

// rivyaCall is a call of the provider Rivya, signed with the source's secret.
export async function rivyaCall(url, secret, event) {
  const body = typeof event === "string" ? event : JSON.stringify(event);
  const stamp = Math.floor(Date.now() / 1000);
  const mac = createHmac("sha256", secret).update(`${stamp}.${body}`).digest("hex");
  return fetch(url, {
    method: "POST", body,
    headers: { "Content-Type": "application/json", "Rivya-Webhook-Timestamp": String(stamp), "Rivya-Webhook-Signature": `v1=${mac}` },
  });
}

export function generation(id, subject, fields = {}, type = "generation.succeeded") {
  return {
    id, type, api_version: "2026-05-11", created_at: new Date().toISOString(),
    data: { generation: { id: subject, status: type.split(".")[1], model: "rivya-image-2", reserved_credits: 60, final_credits: 42, created_at: new Date().toISOString(), updated_at: new Date().toISOString(), result: { primary_url: `https://cdn.example.com/${subject}/1.png`, urls: [`https://cdn.example.com/${subject}/1.png`] }, error: null, ...fields } },
  };
}

export async function startBrowser() {
  if (!browserPath) throw new Error("there is no Chromium: apt-get install chromium, or set CHROMIUM to its path");
  return chromium.launch({ executablePath: browserPath, args: ["--no-sandbox"] });
}

// openPage opens a page that fails the test on whatever the console complains
// of: an exception, a refused script or style, a call to another host.
export async function openPage(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, timezoneId: "Europe/Berlin", locale: "en-GB", permissions: ["clipboard-read", "clipboard-write"], ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(15000);
  const faults = [];
  page.on("pageerror", (err) => faults.push(`exception: ${err.message}`));
  page.on("console", (message) => {
    if (message.type() === "error" && !/Failed to load resource/.test(message.text())) faults.push(`console: ${message.text()}`);
  });
  page.on("request", (request) => {
    if (!/^http:\/\/(127\.0\.0\.1|localhost):/.test(request.url())) faults.push(`call to ${request.url()}`);
    if (/rvya_sk_|whsec_/.test(request.url())) faults.push("a secret in an address");
  });
  return { page, context, faults };
}

// until waits for what a call answers to please, and says at the end what it was.
export async function until(what, read, pleases, seconds = 15) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const got = await read();
    if (pleases(got)) return got;
    if (Date.now() > end) throw new Error(`${what}: still ${JSON.stringify(got).slice(0, 500)}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
