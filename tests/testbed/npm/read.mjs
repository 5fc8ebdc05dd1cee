// Foreign readers of SMART Health Links, as they come from npm. Run from the folder that has them, this file on standard input:
//
//   node --input-type=module - view SHLINK [PASSCODE]   kill-the-clipboard's viewer: the PDFs that it finds, or what it says
//   node --input-type=module - decrypt KEY FILE         jose: what the JWE in FILE holds
//   node --input-type=module - square PNG               jsqr: the text of the QR code in a picture
//
// Answers with one line of JSON.

import { readFileSync } from 'node:fs';
import { webcrypto } from 'node:crypto';

globalThis.crypto ??= webcrypto;
const [errand, ...given] = process.argv.slice(2);

async function view(shlinkURI, passcode) {
  const { SHLViewer } = await import('kill-the-clipboard');
  const viewer = new SHLViewer({ shlinkURI });
  const shown = { label: viewer.shl.label, asks: viewer.shl.requiresPasscode };
  try {
    const { fhirResources } = await viewer.resolveSHL({ recipient: 'Ana', passcode });
    const documents = fhirResources.flatMap((bundle) => bundle.entry.map((entry) => entry.resource));
    const pdfs = documents.flatMap((document) => document.content.map((one) => one.attachment.data));
    return { ...shown, pdfs };
  } catch (problem) {
    return { ...shown, problem: problem.constructor.name };
  }
}

async function decrypt(key, file) {
  const { compactDecrypt } = await import('jose');
  const { plaintext, protectedHeader } = await compactDecrypt(readFileSync(file, 'utf8'), Buffer.from(key, 'base64url'));
  return { header: protectedHeader, text: Buffer.from(plaintext).toString('utf8') };
}

async function square(picture) {
  const { default: jsQR } = await import('jsqr');
  const { PNG } = (await import('pngjs')).default;
  const { data, width, height } = PNG.sync.read(readFileSync(picture));
  const found = (jsQR.default ?? jsQR)(new Uint8ClampedArray(data), width, height);
  return { text: found && found.data };
}

console.log(JSON.stringify(await { view, decrypt, square }[errand](...given)));
