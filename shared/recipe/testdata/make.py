"""Makes the vectors of the presets that a Python library proves: python make.py OUTPUT"""
import base64, hashlib, importlib.metadata, json, sys

from coinbase_commerce.webhook import Webhook, WebhookSignature
from nacl.signing import SigningKey, VerifyKey
from slack_sdk.signature import Clock, SignatureVerifier

NOW, TEXT = 1770000000, "sample secret of a vector 0001"


def write(name, lib, how, **v):
    proof = f"PyPI {lib} {importlib.metadata.version(lib)}: {how}"
    with open(f"{sys.argv[1]}/{name}.json", "w") as f:
        f.write(json.dumps({"preset": name, "proof": proof, "now": NOW, **v}, indent=2) + "\n")


class Fixed(Clock):
    def now(self):
        return NOW


body = '{"type":"event_callback","event_id":"Ev08MFMKH6","team_id":"T1","event":{"type":"app_mention","text":"hi"}}'
verifier = SignatureVerifier(TEXT, clock=Fixed())
sig = verifier.generate_signature(timestamp=str(NOW), body=body)
assert verifier.is_valid(body=body, timestamp=str(NOW), signature=sig)
write("slack", "slack_sdk", "SignatureVerifier.generate_signature and is_valid", secret=TEXT, body=body,
      headers={"X-Slack-Request-Timestamp": str(NOW), "X-Slack-Signature": sig},
      want={"id": "Ev08MFMKH6", "type": "slack.app_mention", "subject": "T1"})

body = '{"id":1,"event":{"id":"24934862-d980-46cb-9402-43c81b0cdba6","type":"charge:confirmed","data":{"code":"66BEOV2A"}}}'
sig = WebhookSignature._compute_signature(body, TEXT)
Webhook.construct_event(body, sig, TEXT)
write("coinbase_commerce", "coinbase-commerce", "Webhook.construct_event", secret=TEXT, body=body,
      headers={"X-CC-Webhook-Signature": sig},
      want={"id": "24934862-d980-46cb-9402-43c81b0cdba6", "type": "coinbase_commerce.charge_confirmed", "subject": "66BEOV2A"})

key = SigningKey(bytes([7] * 32))
public = bytes(key.verify_key)
body = '{"request_id":"024ca5b1-45d3-4afd-883e-ad3abe2a1c4d","gateway_request_id":"024ca5b1-45d3-4afd-883e-ad3abe2a1c4d","status":"OK","payload":{"images":[]}}'
rid, user = "024ca5b1-45d3-4afd-883e-ad3abe2a1c4d", "github|7"
message = "\n".join([rid, user, str(NOW), hashlib.sha256(body.encode()).hexdigest()]).encode()
sig = key.sign(message).signature
VerifyKey(public).verify(message, sig)
write("fal", "PyNaCl", "the steps of fal's documented verifier, VerifyKey.verify (fal publishes no library for it)",
      secret=base64.urlsafe_b64encode(public).decode().rstrip("="), body=body,
      headers={"X-Fal-Webhook-Request-Id": rid, "X-Fal-Webhook-User-Id": user,
               "X-Fal-Webhook-Timestamp": str(NOW), "X-Fal-Webhook-Signature": sig.hex()},
      want={"id": rid, "type": "fal.ok", "subject": rid})

body = '{"type":"invoice.paid","data":{"id":"in_1"}}'
sig = key.sign(f"msg_4.{NOW}.{body}".encode()).signature
write("standard-ed25519", "PyNaCl", "SigningKey.sign over id.timestamp.body, as the specification's v1a says",
      secret="whpk_" + base64.b64encode(public).decode(), body=body,
      headers={"webhook-id": "msg_4", "webhook-timestamp": str(NOW), "webhook-signature": "v1a," + base64.b64encode(sig).decode()},
      want={"id": "msg_4", "type": "invoice.paid", "subject": ""})
