// A scene with something on every page, for what looks at all of them.
import { generation, rivyaCall, startReceiver, startRelay, until } from "./world.js";

export async function scene() {
  const [relay, good, bad] = await Promise.all([startRelay({ RETRY_SCHEDULE: "0s,2s,2s,1h,2h" }), startReceiver(), startReceiver()]);
  bad.status = 503;
  bad.body = '{"error":"worker pool is full, try later"}';
  const secret = "the signing secret of the provider";
  const make = (name, url, event_types, rest = {}) => relay.call("POST", "/api/v1/webhooks", { name, url, event_types, ...rest });
  const rivya = await relay.call("POST", "/api/v1/sources", { provider: "rivya", name: "Rivya production", signing_secret: secret });
  const sivi = await relay.call("POST", "/api/v1/sources", { provider: "sivi", name: "Sivi studio" });
  const orders = await make("Production orders", good.url, ["*"]);
  const inbox = await make("Design inbox", bad.url, ["generation.succeeded", "generation.failed"]);
  const archive = await make("Billing archive", good.url, ["*"]);
  const has = (field) => field in archive;
  if (has("filter")) await relay.call("PATCH", `/api/v1/webhooks/${archive.id}`, { filter: { data: { generation: { model: [{ prefix: "rivya-" }], final_credits: [{ numeric: [">=", 100] }] } } } });
  await make("Sivi bridge", good.url, ["*"], { format: "sivi" });
  const staging = await make("Staging", good.url, ["*"]);
  await relay.call("PATCH", `/api/v1/webhooks/${staging.id}`, { status: "disabled" });
  await relay.call("POST", `/api/v1/webhooks/${orders.id}/rotate-secret`, { overlap_seconds: 86400 });
  for (let i = 0; i < 14; i++) {
    if (i % 4 === 1) await relay.call("POST", "/api/v1/webhook-events", { type: i % 8 === 1 ? "order.paid" : "order.refunded", data: { order: 20400 + i } });
    else if (i % 7 === 3) await fetch(sivi.ingest_url, { method: "POST", body: JSON.stringify({ status: 200, body: { requestId: `sbhMkIZKCP${i}`, status: "complete", queueWaitTime: 1, designId: "d1", link: null, shareLink: null, result: { variations: [] } } }) });
    else await rivyaCall(rivya.ingest_url, secret, generation(`evt_9fKq2mT7vXcLr4WbN8sDh${10 + i}`, `gen_5tQ8ZrVw${10 + i}`, i % 5 === 2 ? { final_credits: 120 } : {}));
  }
  await rivyaCall(rivya.ingest_url, "another secret than is stored", generation("evt_x", "gen_x"));
  await fetch(`${relay.api}/in/${sivi.id}/wrongtokenwrongtokenwrongtokenwrongtoken`, { method: "POST", body: "{}" });
  await relay.call("POST", `/api/v1/webhooks/${orders.id}/test`);
  const event = "evt_9fKq2mT7vXcLr4WbN8sDh14";
  await until("three attempts", () => relay.call("GET", `/api/v1/webhooks/${inbox.id}/deliveries?event_id=${event}`), (l) => l.data.length >= 3, 30);
  await relay.call("POST", "/api/v1/api-keys", { name: "Deployment", scopes: ["events:publish"] });
  const replay = await relay.call("POST", `/api/v1/webhooks/${staging.id}/replay`, { since: new Date(Date.now() - 3600e3).toISOString() }).catch(() => relay.call("POST", `/api/v1/webhooks/${orders.id}/replay`, { since: new Date(Date.now() - 3600e3).toISOString(), status: "all", max_per_second: 1 }));
  return {
    relay, event,
    pages: [
      ["overview", "/console", "Other endpoints"],
      ["events", "/console/events", "order.paid"],
      ["no events", "/console/events?status=rejected&range=hour", "No event fits"],
      ["event", `/console/events/${event}?of=${rivya.id}`, "worker pool is full"],
      ["endpoints", "/console/endpoints", "Design inbox"],
      ["new endpoint", "/console/endpoints/new", "Create endpoint"],
      ["endpoint", `/console/endpoints/${inbox.id}`, "Save settings"],
      ["sources", "/console/sources", "Sivi studio"],
      ["new source", "/console/sources/new", "Create source"],
      ["source", `/console/sources/${sivi.id}`, "Setup"],
      ["source of Rivya", `/console/sources/${rivya.id}`, "Setup"],
      ["replays", "/console/replays", "Replays"],
      ["replay", `/console/replays/${replay.id}`, "Progress"],
      ["types", "/console/types", "generation.succeeded"],
      ["keys", "/console/keys", "Deployment"],
    ],
    dialogs: [
      ["the keyboard", "/console/events", "?"],
      ["rotate", `/console/endpoints/${inbox.id}`, "Rotate"],
      ["delete", `/console/endpoints/${inbox.id}`, "Delete…"],
      ["new key", "/console/keys", "New key"],
    ],
    stop: () => Promise.all([relay.stop(), good.stop(), bad.stop()]),
  };
}
