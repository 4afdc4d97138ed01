"""Verifies Hookferry's deliveries. One file, Python 3.9 or later, standard library alone.

    delivery = hookferry.verify(request.headers, request.get_data(), [os.environ["HOOKFERRY_SECRET"]])
    if handled_before(delivery.key):
        return "", 200

Give it the bytes as they were received: a body that was parsed and written again
has another signature. Deliveries come at least once, so remember delivery.key for
as long as retries may come, best in the transaction that handles the event.
"""
import base64
import binascii
import hashlib
import hmac
import re
import time
from typing import Mapping, NamedTuple, Optional, Sequence


class Delivery(NamedTuple):
    """What a verified call says of itself. key is what to remember to drop duplicates."""

    key: str
    event_id: str
    source_id: Optional[str]
    endpoint_id: Optional[str]
    attempt: int


class Refused(Exception):
    """Why a call is refused. Answer 401, and 500 if code is "config", which is your own fault.

    The other codes are missing, malformed, stale and mismatch.
    """

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code


def verify(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], *, standard: bool = False,
           prefix: str = "Rivya", tolerance: int = 300, now: Optional[float] = None) -> Delivery:
    """Returns the delivery if one of the secrets signed it lately, else raises Refused.

    standard checks the Standard Webhooks signature instead of Rivya's; it also proves the id.
    """
    if isinstance(secrets, str) or not secrets:
        raise Refused("config", "secrets: want a list of signing secrets")
    keys = [_key(secret, standard) for secret in secrets]
    lower = {name.lower(): value for name, value in headers.items()}
    head = "webhook" if standard else f"{prefix.lower()}-webhook"
    event_id, timestamp, signature = (lower.get(f"{head}-{end}", "") for end in ("id", "timestamp", "signature"))
    if not (event_id and timestamp and signature):
        raise Refused("missing", "the call is not signed")
    if not re.fullmatch(r"[0-9]{1,15}", timestamp) or len(signature) > 4096:
        raise Refused("malformed", "the signature headers are malformed")
    if abs((time.time() if now is None else now) - int(timestamp)) > tolerance:
        raise Refused("stale", "the timestamp is too old or too new")

    before = f"{event_id}.{timestamp}." if standard else f"{timestamp}."
    sums = [hmac.new(key, before.encode() + body, hashlib.sha256).digest() for key in keys]
    right = False
    for part in re.split(r",?\s+" if standard else ",", signature)[:20]:
        version, _, text = part.strip().partition("," if standard else "=")
        candidate = _decode(text, standard) if version == "v1" else b""
        for want in sums:
            right |= hmac.compare_digest(candidate, want)
    if not right:
        raise Refused("mismatch", "the signature is wrong")
    source = None if standard else lower.get(f"{prefix.lower()}-webhook-source-id") or None
    attempt = lower.get(f"{prefix.lower()}-webhook-attempt", "")
    return Delivery(f"{source} {event_id}" if source else event_id, event_id, source,
                    lower.get(f"{prefix.lower()}-webhook-endpoint-id"), int(attempt) if attempt.isdecimal() else 0)


def _key(secret: str, standard: bool) -> bytes:
    """Rivya's key is the whole secret as it is written; Standard Webhooks decodes it."""
    if not standard and re.fullmatch(r"[\x20-\x7e]{8,256}", secret):
        return secret.encode()
    key = _decode(secret[6:], True) if standard and secret.startswith("whsec_") else b""
    if len(key) < 24:
        raise Refused("config", "no usable signing secret")
    return key


def _decode(text: str, standard: bool) -> bytes:
    try:
        return base64.b64decode(text, validate=True) if standard else bytes.fromhex(text) if " " not in text else b""
    except (ValueError, binascii.Error):
        return b""
