"""A foreign reader of a SMART Health Link's file: jwcrypto. Arguments: the key as base64url, the file. Writes what it holds."""

import sys

from jwcrypto import jwe, jwk

key = jwk.JWK(kty="oct", k=sys.argv[1])
with open(sys.argv[2], encoding="ascii") as file:
    opened = jwe.JWE()
    opened.deserialize(file.read(), key)
sys.stdout.buffer.write(opened.payload)
