#!/usr/bin/env python3
"""Opens a sealed file with Google's Tink, which knows nothing of Chartseal.

    pip install tink==1.16.1
    open_with_tink.py KEY_HEX ASSOCIATED_DATA_HEX < sealed > plain
    open_with_tink.py --seal KEY_HEX ASSOCIATED_DATA_HEX < plain > sealed

KEY is the link's 32-byte content key; the associated data is in docs/sealed-format.md.
A file that does not open ends with exit code 1; what was written before is to be discarded.
"""

import io
import sys

import tink
from tink import proto_keyset_format, secret_key_access, streaming_aead
from tink.proto import aes_gcm_hkdf_streaming_pb2, common_pb2, tink_pb2

SEGMENT_BYTES = 1 << 20
TYPE_URL = "type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey"

streaming_aead.register()


class KeptOpen(io.BytesIO):
    """Tink closes what it writes to; a closed BytesIO has forgotten its bytes."""

    def close(self):
        pass


def primitive(key: bytes) -> streaming_aead.StreamingAead:
    """AES256_GCM_HKDF_1MB over the raw key."""
    streaming = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(version=0, key_value=key)
    streaming.params.ciphertext_segment_size = SEGMENT_BYTES
    streaming.params.derived_key_size = 32
    streaming.params.hkdf_hash_type = common_pb2.SHA256
    data = tink_pb2.KeyData(
        type_url=TYPE_URL,
        value=streaming.SerializeToString(),
        key_material_type=tink_pb2.KeyData.SYMMETRIC,
    )
    keyset = tink_pb2.Keyset(primary_key_id=1)
    keyset.key.add(key_id=1, status=tink_pb2.ENABLED, output_prefix_type=tink_pb2.RAW, key_data=data)
    handle = proto_keyset_format.parse(keyset.SerializeToString(), secret_key_access.TOKEN)
    return handle.primitive(streaming_aead.StreamingAead)


def open_sealed(key: bytes, associated_data: bytes, sealed: bytes) -> bytes:
    with primitive(key).new_decrypting_stream(io.BytesIO(sealed), associated_data) as stream:
        return stream.read()


def seal(key: bytes, associated_data: bytes, plain: bytes) -> bytes:
    sealed = KeptOpen()
    with primitive(key).new_encrypting_stream(sealed, associated_data) as stream:
        stream.write(plain)
    return sealed.getvalue()


def main() -> int:
    arguments = sys.argv[1:]
    act = seal if arguments[:1] == ["--seal"] else open_sealed
    key, associated_data = (bytes.fromhex(text) for text in arguments[-2:])
    try:
        sys.stdout.buffer.write(act(key, associated_data, sys.stdin.buffer.read()))
    except tink.TinkError as error:
        print(f"does not open: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
