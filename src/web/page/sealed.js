// Opens one sealed file as it arrives: Tink's AES256_GCM_HKDF_1MB wire format, segment by segment.
//
// Truncation, reordering, splicing and trailing bytes all end in `Damaged`; never more than one sealed segment is held.

import { fileKey } from './keys.js';

const SEGMENT_BYTES = 1048576;
const HEADER_BYTES = 40;
const SALT_BYTES = 32;
const PREFIX_BYTES = 7;
const TAG_BYTES = 16;
// Of one file; more than a phone with 1 GB can hold twice.
const PLAIN_BYTES_MAX = 256 * 1024 * 1024;

/** The file is not what was sealed. */
export class Damaged extends Error {}

/** This browser has not the room for the file. */
export class TooLarge extends Error {}

/** The room for files of these sizes in bytes, or `TooLarge`. To be taken before anything is spent. */
export function makeRoom(sizes) {
  if (sizes.some((size) => size > PLAIN_BYTES_MAX)) throw new TooLarge('limit');
  try {
    return sizes.map((size) => new Uint8Array(size));
  } catch (noMemory) {
    throw new TooLarge('memory');
  }
}

export class SealedFile {
  /**
   * `file` is the server's `{n, type, size, sealed_size}`; what it claims is bound into the key. `plain` is the room for
   * it, of just its size.
   */
  constructor(contentKey, linkId, version, file, plain) {
    const sealed = file.sealed_size;
    const segments = Math.max(1, Math.ceil(sealed / SEGMENT_BYTES));
    if (sealed - HEADER_BYTES - segments * TAG_BYTES !== file.size || file.size !== plain.length) {
      throw new Damaged('sizes');
    }
    this.contentKey = contentKey;
    this.associated = `chartseal/1\n${linkId}\n${file.n}\n${version}\n${file.type}`;
    this.sealedSize = sealed;
    this.received = 0;
    this.plain = plain;
    this.written = 0;
    this.segment = new Uint8Array(Math.min(SEGMENT_BYTES, sealed));
    this.filled = 0;
    this.index = 0;
    this.key = null;
    this.prefix = null;
  }

  /** Takes the next bytes off the wire. */
  async push(bytes) {
    if (!this.contentKey) throw new Damaged('wiped');
    if (this.received + bytes.length > this.sealedSize) throw new Damaged('trailing bytes');
    let at = 0;
    while (at < bytes.length) {
      const wanted = this.segmentLength();
      const piece = bytes.subarray(at, at + wanted - this.filled);
      this.segment.set(piece, this.filled);
      this.filled += piece.length;
      this.received += piece.length;
      at += piece.length;
      if (this.filled === wanted) await this.openSegment();
    }
  }

  /** The whole plaintext; the caller owns it from here. */
  finish() {
    if (this.received !== this.sealedSize || this.written !== this.plain.length) throw new Damaged('cut short');
    const plain = this.plain;
    this.plain = new Uint8Array(0);
    return plain;
  }

  wipe() {
    this.plain.fill(0);
    this.plain = new Uint8Array(0);
    this.key = null;
    this.contentKey = null;
  }

  segmentLength() {
    return Math.min(SEGMENT_BYTES, this.sealedSize - this.index * SEGMENT_BYTES);
  }

  async openSegment() {
    let sealed = this.segment.subarray(0, this.filled);
    if (this.index === 0) {
      if (sealed[0] !== HEADER_BYTES) throw new Damaged('header');
      const salt = sealed.slice(1, 1 + SALT_BYTES);
      this.prefix = sealed.slice(1 + SALT_BYTES, 1 + SALT_BYTES + PREFIX_BYTES);
      this.key = await fileKey(this.contentKey, salt, this.associated);
      sealed = sealed.subarray(HEADER_BYTES);
    }
    const iv = new Uint8Array(12);
    iv.set(this.prefix);
    new DataView(iv.buffer).setUint32(PREFIX_BYTES, this.index);
    iv[11] = this.received === this.sealedSize ? 1 : 0;
    let plain;
    try {
      plain = await crypto.subtle.decrypt({ name: 'AES-GCM', iv, tagLength: TAG_BYTES * 8 }, this.key, sealed);
    } catch (problem) {
      // The name that WebCrypto gives to a wrong tag.
      throw problem.name === 'OperationError' ? new Damaged('tag') : problem;
    }
    this.plain.set(new Uint8Array(plain), this.written);
    new Uint8Array(plain).fill(0);
    this.written += plain.byteLength;
    this.index += 1;
    this.filled = 0;
  }
}
