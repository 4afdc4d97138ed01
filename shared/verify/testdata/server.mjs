// A receiver on the TypeScript verifier. Arguments: the compiled verifier, and
// "standard" for that signature. Secrets come in HOOKFERRY_SECRET, separated by
// blanks; the port goes to standard output.
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";

const { verify, Refused } = await import(pathToFileURL(process.argv[2]).href);
const secrets = (process.env.HOOKFERRY_SECRET ?? "").split(" ").filter(Boolean);
const standard = process.argv[3] === "standard";
const handled = new Set();

createServer(async (request, response) => {
  const answer = (status) => response.writeHead(status, { connection: "close" }).end();
  if (request.method !== "POST") return answer(405);
  const chunks = [];
  let length = 0;
  for await (const chunk of request) {
    if ((length += chunk.length) > 1 << 20) return answer(413);
    chunks.push(chunk);
  }
  try {
    const delivery = await verify(request.headers, new Uint8Array(Buffer.concat(chunks)), secrets, { standard });
    if (!handled.has(delivery.key)) handled.add(delivery.key);
    answer(200);
  } catch (error) {
    answer(error instanceof Refused ? (error.code === "config" ? 500 : 401) : 500);
  }
}).listen(0, "127.0.0.1", function () { console.log(this.address().port); });
process.stdin.on("end", () => process.exit()).resume();
