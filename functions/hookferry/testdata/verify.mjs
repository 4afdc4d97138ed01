// The verification that Rivya's documentation describes for JavaScript: the
// first v1= part, HMAC-SHA256 over "timestamp.body" with the secret as it is.
import { createHmac, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";

const { timestamp, signature, body, secret } = JSON.parse(readFileSync(0, "utf8"));
const first = signature.split(",").find((p) => p.startsWith("v1="));
const want = createHmac("sha256", secret).update(`${timestamp}.${body}`).digest();
const got = Buffer.from((first ?? "").slice(3), "hex");
console.log(got.length === want.length && timingSafeEqual(got, want));
