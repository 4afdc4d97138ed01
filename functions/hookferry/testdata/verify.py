# The verification that Rivya's documentation describes for Python: the first
# v1= part, HMAC-SHA256 over "timestamp.body" with the secret as it is.
import hashlib
import hmac
import json
import sys

call = json.load(sys.stdin)
first = next((p[3:] for p in call["signature"].split(",") if p.startswith("v1=")), "")
want = hmac.new(call["secret"].encode(), f"{call['timestamp']}.{call['body']}".encode(), hashlib.sha256).hexdigest()
print("true" if first and hmac.compare_digest(first, want) else "false")
