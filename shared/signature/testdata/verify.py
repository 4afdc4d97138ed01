"""Rivya's verification algorithm as its documentation publishes it for Python.

Reads [{rawBody, headers, signingSecret}] and writes [true, false, ...].
"""

import hashlib
import hmac
import json
import sys


def verify_rivya_webhook(raw_body: str, headers: dict, signing_secret: str) -> bool:
    timestamp = headers.get("rivya-webhook-timestamp", "")
    signature = headers.get("rivya-webhook-signature", "")
    actual = next((part[3:] for part in signature.split(",") if part.startswith("v1=")), "")
    expected = hmac.new(
        signing_secret.encode(),
        f"{timestamp}.{raw_body}".encode(),
        hashlib.sha256,
    ).hexdigest()
    return bool(actual) and hmac.compare_digest(actual, expected)


calls = json.loads(sys.stdin.buffer.read().decode("utf-8"))
json.dump([verify_rivya_webhook(c["rawBody"], c["headers"], c["signingSecret"]) for c in calls], sys.stdout)
