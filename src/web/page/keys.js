// The patient's half of the key schedule (DESIGN §5), on WebCrypto. Every derived key is non-extractable.

const TEXT = new TextEncoder();

export function fromBase64url(text) {
  const binary = atob(text.replace(/-/g, '+').replace(/_/g, '/'));
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i += 1) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

export function toBase64url(bytes) {
  let binary = '';
  for (let i = 0; i < bytes.length; i += 1) binary += String.fromCharCode(bytes[i]);
  return btoa(binary).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
}

function join(...parts) {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function hkdf(salt, info) {
  return { name: 'HKDF', hash: 'SHA-256', salt, info };
}

function labelled(label, id) {
  return hkdf(new Uint8Array(0), TEXT.encode(label + id));
}

function hkdfInput(bytes) {
  return crypto.subtle.importKey('raw', bytes, 'HKDF', false, ['deriveBits', 'deriveKey']);
}

function macKey(input, label, id) {
  const hmac = { name: 'HMAC', hash: 'SHA-256', length: 256 };
  return crypto.subtle.deriveKey(labelled(label, id), input, hmac, false, ['sign']);
}

async function mac(key, ...parts) {
  return toBase64url(new Uint8Array(await crypto.subtle.sign('HMAC', key, join(...parts))));
}

/** Everything that this link's secret can do. `wipe()` ends it. */
export class Keyring {
  static async from(id, secretText) {
    const ring = new Keyring();
    ring.id = id;
    ring.secret = fromBase64url(secretText);
    const input = await hkdfInput(ring.secret);
    ring.auth = await macKey(input, 'chartseal/1/auth', id);
    ring.receiptKey = await macKey(input, 'chartseal/1/receipt', id);
    return ring;
  }

  /** The proof that we hold the link, for one nonce and one cookie. */
  proof(nonce, cookieHash) {
    return mac(this.auth, fromBase64url(nonce), TEXT.encode(this.id), fromBase64url(cookieHash));
  }

  receipt(outcome, cookieHash) {
    const id = TEXT.encode(this.id);
    return mac(this.receiptKey, TEXT.encode(outcome), new Uint8Array(1), id, fromBase64url(cookieHash));
  }

  /** The content key, as HKDF input for the files' own keys. */
  async contentKey(shareText) {
    const share = fromBase64url(shareText);
    const both = join(this.secret, share);
    const input = await hkdfInput(both);
    const bits = new Uint8Array(await crypto.subtle.deriveBits(labelled('chartseal/1/content', this.id), input, 256));
    const key = await hkdfInput(bits);
    share.fill(0);
    both.fill(0);
    bits.fill(0);
    return key;
  }

  wipe() {
    if (this.secret) this.secret.fill(0);
    this.secret = null;
    this.auth = null;
    this.receiptKey = null;
  }
}

/** The AES key of one sealed file: Tink binds the associated data into the HKDF info. */
export function fileKey(contentKey, salt, associated) {
  const aes = { name: 'AES-GCM', length: 256 };
  return crypto.subtle.deriveKey(hkdf(salt, TEXT.encode(associated)), contentKey, aes, false, ['decrypt']);
}

// HKDF-SHA256 of sixteen zero bytes, info "chartseal/1/check", then AES-256-GCM with a zero nonce over "ok".
const KNOWN_ANSWER = 'ETtlIq4fD0j3z-Cmb-8xOLjt';

/** Whether this browser can decrypt and draw a document. Asked before anything is spent; see also `workersStart`. */
export async function browserCanOpen() {
  try {
    if (!window.isSecureContext || !window.crypto || !crypto.subtle) return false;
    if (!window.Worker || !window.IntersectionObserver || !window.URL || !URL.createObjectURL || !window.AbortController) {
      return false;
    }
    if (!document.createElement('canvas').getContext('2d')) return false;
    const input = await hkdfInput(new Uint8Array(16));
    const key = await fileKey(input, new Uint8Array(0), 'chartseal/1/check');
    const gcm = { name: 'AES-GCM', iv: new Uint8Array(12), tagLength: 128 };
    const plain = await crypto.subtle.decrypt(gcm, key, fromBase64url(KNOWN_ANSWER));
    return new TextDecoder().decode(plain) === 'ok';
  } catch (cannot) {
    return false;
  }
}
