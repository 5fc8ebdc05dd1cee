#!/usr/bin/env python3
"""Writes sealed/*.json, schedule.json and wrap.json, from the words of docs/sealed-format.md and not from the Rust code.

    pip install tink==1.16.1 cryptography
    make_vectors.py

Seals with `cryptography`, and holds every expectation against Tink as well before it is written.
"""

import hashlib
import hmac
import json
import pathlib

import tink
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from open_with_tink import SEGMENT_BYTES, open_sealed

HERE = pathlib.Path(__file__).parent
HEADER, TAG = 40, 16
FIRST_FULL = SEGMENT_BYTES - HEADER - TAG
INNER_FULL = SEGMENT_BYTES - TAG
SMALL = 4096  # sealed files up to here are written out

KEY = bytes(range(32))
SALT = bytes(range(0x40, 0x60))
PREFIX = bytes(range(0x70, 0x77))
CONTEXT = {"link": "Y2hhcnRzZWFsLTEh", "number": 1, "version": "7", "media": "application/pdf"}
TEXT = b"Hemoglobin 13.9 g/dL\n"


def mac(key, *parts):
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def hkdf(salt, secret, info):
    """RFC 5869 for one block of output."""
    return mac(mac(salt or bytes(32), secret), info, b"\x01")


def associated_data(context):
    return "chartseal/1\n{link}\n{number}\n{version}\n{media}".format(**context).encode()


def seal(plain, context):
    cipher = AESGCM(hkdf(SALT, KEY, associated_data(context)))
    pieces = [plain[:FIRST_FULL]] + [plain[i : i + INNER_FULL] for i in range(FIRST_FULL, len(plain), INNER_FULL)]
    sealed = bytes([HEADER]) + SALT + PREFIX
    for counter, piece in enumerate(pieces):
        last = counter == len(pieces) - 1
        sealed += cipher.encrypt(PREFIX + counter.to_bytes(4, "big") + bytes([last]), piece, None)
    return sealed


def edit(sealed, edits):
    for step in edits:
        ((name, value),) = step.items()
        if name == "cut_to":
            sealed = sealed[:value]
        elif name == "append":
            sealed += bytes.fromhex(value)
        elif name == "set_byte":
            sealed = sealed[: value["at"]] + bytes([value["to"]]) + sealed[value["at"] + 1 :]
        elif name == "swap_segments":
            one, two = (sealed[i * SEGMENT_BYTES : (i + 1) * SEGMENT_BYTES] for i in value)
            assert value[1] == value[0] + 1 and len(one) == len(two) == SEGMENT_BYTES
            sealed = sealed[: value[0] * SEGMENT_BYTES] + two + one + sealed[(value[1] + 1) * SEGMENT_BYTES :]
    return sealed


def opens_in_tink(sealed, context, key, plain):
    try:
        return open_sealed(key, associated_data(context), sealed) == plain
    except (tink.TinkError, ValueError):
        return False


def vector(name, length, expect, edits=(), opened_as=None, opened_with=KEY, in_tink=None):
    plain = (TEXT * (length // len(TEXT) + 1))[:length]
    sealed = seal(plain, CONTEXT)
    as_context = CONTEXT | (opened_as or {})
    opens = expect == "opens" if in_tink is None else in_tink == "opens"
    assert opens_in_tink(edit(sealed, edits), as_context, opened_with, plain) == opens, name
    written = {"sealed": sealed.hex()} if len(sealed) <= SMALL else {}
    save(
        HERE / "sealed" / f"{name}.json",
        {
            "sealing": {
                "key": KEY.hex(),
                "context": CONTEXT,
                "plain": {"repeat": TEXT.hex(), "length": length},
                "salt": SALT.hex(),
                "nonce_prefix": PREFIX.hex(),
            },
            "sealed_sha256": hashlib.sha256(sealed).hexdigest(),
            **written,
            "edits": list(edits),
            "opening": {"key": opened_with.hex(), "context": as_context},
            "expect": expect,
        },
    )


def flipped(length, at):
    plain = (TEXT * (length // len(TEXT) + 1))[:length]
    return {"set_byte": {"at": at, "to": seal(plain, CONTEXT)[at] ^ 1}}


def save(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n")


def sealed_vectors():
    report = 3 * len(TEXT)
    two = FIRST_FULL + 5
    four = FIRST_FULL + 2 * INNER_FULL + 5
    vector("opens-empty-report", 0, "opens")
    vector("opens-one-byte", 1, "opens")
    vector("opens-report", report, "opens")
    vector("opens-first-segment-less-one", FIRST_FULL - 1, "opens")
    vector("opens-first-segment-full", FIRST_FULL, "opens")
    vector("opens-first-segment-and-five", two, "opens")
    vector("opens-four-segments", four, "opens")

    vector("file-of-no-bytes", report, "Truncated", [{"cut_to": 0}])
    vector("header-cut", report, "Truncated", [{"cut_to": 39}])
    vector("header-alone", report, "Truncated", [{"cut_to": 40}])
    vector("tag-cut-in-empty-report", 0, "Truncated", [{"cut_to": 55}])
    vector("last-segment-missing", two, "Truncated", [{"cut_to": SEGMENT_BYTES}])
    vector("last-segment-cut-inside-its-tag", two, "Truncated", [{"cut_to": SEGMENT_BYTES + 15}])
    vector("last-segment-cut-to-a-tag", two, "Truncated", [{"cut_to": SEGMENT_BYTES + 16}])
    vector("last-segment-cut", two, "NotAuthentic in segment 1", [{"cut_to": SEGMENT_BYTES + 17}])

    vector("header-length-39", report, "Header", [{"set_byte": {"at": 0, "to": 39}}])
    vector("header-length-0", report, "Header", [{"set_byte": {"at": 0, "to": 0}}])
    vector("salt-bit", report, "NotAuthentic in segment 0", [flipped(report, 1)])
    vector("nonce-prefix-bit", report, "NotAuthentic in segment 0", [flipped(report, 39)])
    vector("ciphertext-bit", report, "NotAuthentic in segment 0", [flipped(report, 40)])
    vector("tag-bit", report, "NotAuthentic in segment 0", [flipped(report, 40 + report + 15)])
    vector("second-segment-bit", two, "NotAuthentic in segment 1", [flipped(two, SEGMENT_BYTES)])
    vector("trailing-byte", report, "NotAuthentic in segment 0", [{"append": "00"}])
    # Here Tink is laxer: it never looks past a last segment that is exactly full.
    vector("trailing-byte-after-full-segment", FIRST_FULL, "TrailingBytes", [{"append": "00"}], in_tink="opens")
    vector("swapped-segments", four, "NotAuthentic in segment 1", [{"swap_segments": [1, 2]}])

    vector("other-link", report, "NotAuthentic in segment 0", opened_as={"link": "Y2hhcnRzZWFsLTEi"})
    vector("other-number", report, "NotAuthentic in segment 0", opened_as={"number": 2})
    vector("other-version", report, "NotAuthentic in segment 0", opened_as={"version": "8"})
    vector("other-type", report, "NotAuthentic in segment 0", opened_as={"media": "text/plain"})
    vector("other-key", report, "NotAuthentic in segment 0", opened_with=bytes(32))


def schedule():
    link, secret, share = CONTEXT["link"].encode(), bytes(range(16)), bytes(range(0x80, 0xA0))
    auth = hkdf(b"", secret, b"chartseal/1/auth" + link)
    receipt = hkdf(b"", secret, b"chartseal/1/receipt" + link)
    nonce, cookie_hash = b"nonce", hashlib.sha256(b"cookie").digest()
    save(
        HERE / "schedule.json",
        {
            "link": CONTEXT["link"],
            "secret": secret.hex(),
            "share": share.hex(),
            "content": hkdf(b"", secret + share, b"chartseal/1/content" + link).hex(),
            "auth": auth.hex(),
            "receipt": receipt.hex(),
            "nonce": nonce.hex(),
            "cookie_hash": cookie_hash.hex(),
            "proof": mac(auth, nonce, link, cookie_hash).hex(),
            "receipt_decrypted": mac(receipt, b"decrypted\0", link, cookie_hash).hex(),
            "receipt_failed": mac(receipt, b"failed\0", link, cookie_hash).hex(),
        },
    )


def wrapping():
    key, nonce, context, plain = bytes(range(32)), bytes(range(12)), b"row 7", b"wrapped"
    purposes = ["share", "link-secret", "raw-event", "patient-card", "auth-key", "receipt-key", "record", "answer", "question", "code", "passcode"]
    uses = ["records", "blind-index", "pepper", "audit-mac", "patient-pseudonyms"]

    def wrap(purpose):
        associated = f"chartseal/1/wrap/{purpose}".encode() + b"\0" + context
        return (b"\x01" + nonce + AESGCM(key).encrypt(nonce, plain, associated)).hex()

    save(
        HERE / "wrap.json",
        {
            "key": key.hex(),
            "nonce": nonce.hex(),
            "context": context.decode(),
            "plain": plain.decode(),
            "wrapped": {f"chartseal/1/wrap/{purpose}": wrap(purpose) for purpose in purposes},
            "subkeys": {f"chartseal/1/root/{use}": hkdf(b"", key, f"chartseal/1/root/{use}".encode()).hex() for use in uses},
            "blind_index": {"domain": "email", "value": "a@example.org", "index": mac(key, b"email\0a@example.org").hex()},
            "fingerprint": mac(key, b"chartseal/1/fingerprint")[:16].hex(),
        },
    )


if __name__ == "__main__":
    sealed_vectors()
    schedule()
    wrapping()
