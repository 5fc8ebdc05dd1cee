// A document that may be read and not saved: no way to keep it is offered, none lies about. A screen can always be photographed.

import { el } from './dom.js';

// As for the pages of a PDF: about 24 MB.
const PIXELS_MAX = 6000000;

/** Keeps what is below `host` from being copied, dragged or saved by the browser's own menus. */
export function withhold(host) {
  for (const kind of ['copy', 'cut', 'dragstart', 'contextmenu']) host.addEventListener(kind, (event) => event.preventDefault());
}

/** The picture at `url`, painted: a browser offers no copy of what has no address. */
export async function paintedPicture(url) {
  const picture = el('img', { src: url });
  await new Promise((resolve, reject) => {
    picture.onload = resolve;
    picture.onerror = reject;
  });
  const shrunk = Math.min(1, Math.sqrt(PIXELS_MAX / Math.max(1, picture.naturalWidth * picture.naturalHeight)));
  const canvas = el('canvas', { class: 'picture', role: 'img' });
  canvas.width = Math.max(1, Math.round(picture.naturalWidth * shrunk));
  canvas.height = Math.max(1, Math.round(picture.naturalHeight * shrunk));
  canvas.getContext('2d').drawImage(picture, 0, 0, canvas.width, canvas.height);
  picture.removeAttribute('src');
  URL.revokeObjectURL(url);
  return canvas;
}
