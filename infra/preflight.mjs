// Says before a deployment whether the account has the concurrency that a
// template asks for: node preflight.mjs TEMPLATE LIMIT, where LIMIT is the
// account's, as aws lambda get-account-settings tells it. Lambda keeps some of it
// for functions that reserve nothing, and refuses a deployment that asks for more.
import { readFileSync } from "node:fs";

const [file, limitText] = process.argv.slice(2);
const limit = Number(limitText);
if (!file || !Number.isInteger(limit) || limit < 1) {
  console.error("usage: node preflight.mjs TEMPLATE LIMIT");
  process.exit(2);
}
const resources = Object.values(JSON.parse(readFileSync(file, "utf8")).Resources);
const of = (type) => resources.filter((r) => r.Type === type).map((r) => r.Properties);
const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);

const dispatchers = sum(of("AWS::Lambda::EventSourceMapping").map((m) => m.ScalingConfig?.MaximumConcurrency ?? 0));
const reserved = sum(of("AWS::Lambda::Function").map((f) => f.ReservedConcurrentExecutions ?? 0));
const kept = limit <= 100 ? Math.min(limit, 10) : 100;
const problems = [];
if (reserved > limit - kept) {
  problems.push(`receiverReserved and apiReserved together are ${reserved}; of ${limit} this account can reserve ${Math.max(limit - kept, 0)}`);
}
if (dispatchers + reserved >= limit) {
  problems.push(
    `eventsConcurrency and retriesConcurrency together are ${dispatchers}, with ${reserved} reserved; the account has ${limit} for all its functions, ` +
      `so that waiting dispatchers can leave no room for a receiver, whose calls are then refused`,
  );
}
if (problems.length > 0) {
  for (const p of problems) console.error(`preflight: ${p}.`);
  console.error("preflight: ask Service Quotas for more (Lambda, concurrent executions), or lower the parameters in infra/stages/STAGE.json.");
  process.exit(1);
}
console.log(`preflight: ${dispatchers} dispatchers and ${reserved} reserved of ${limit}`);
