// What a health app can be given: the link's SMART Health Link, as a square code, a button and a text to copy.
//
// It came sealed, as the documents did. Everything of it stands below the documents, and goes with them.

import { button, el, say } from './dom.js';

/** The type of the sealed file that holds it. */
export const OFFER = 'application/vnd.chartseal.health-link+json';

const SVG = 'http://www.w3.org/2000/svg';
// Light dots around a code, without which readers do not find it (ISO/IEC 18004).
const QUIET_DOTS = 4;

/** What the sealed file says: `{shlink, passcode, square}`, the square as rows of `0` and `1`. Throws where it is none of ours. */
export function readOffer(bytes) {
  const offer = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  if (!/^shlink:\/[\w-]+$/.test(offer.shlink)) throw new TypeError('offer');
  return offer;
}

/** A fold with all of it. `onCopy(text)` says whether the text was copied. */
export function offerOf(reading, offer, onCopy) {
  const { screens } = reading;
  const told = (id, node) => reading.told(() => screens.say(id), node);
  const note = el('p', { class: 'small' });
  const open = told('app.open', el('a', { class: 'button quiet', href: offer.shlink, rel: 'noreferrer' }, el('span')));
  const copy = told('app.copy', button('quiet', '', async () => {
    const done = screens.say((await onCopy(offer.shlink)) ? 'app.copied' : 'app.uncopied');
    note.textContent = done;
    say(done);
  }));
  const passcode = offer.passcode
    ? el('p', null, told('app.passcode', el('span')), ' ', el('strong', { class: 'passcode', translate: 'no' }, offer.passcode))
    : null;
  return el('details', { class: 'offer' },
    told('app.title', el('summary')),
    el('div', null,
      told('app.lead', el('p')),
      told('app.scan', el('p')),
      reading.named(() => screens.say('app.square'), square(offer.square)),
      passcode,
      el('div', { class: 'choices' }, open, copy),
      note));
}

function square(rows) {
  const side = rows.length + 2 * QUIET_DOTS;
  const lines = [];
  rows.forEach((row, y) => {
    for (const run of row.matchAll(/1+/g)) {
      const length = run[0].length;
      lines.push(`M${run.index + QUIET_DOTS} ${y + QUIET_DOTS}h${length}v1h-${length}z`);
    }
  });
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', `0 0 ${side} ${side}`);
  svg.setAttribute('class', 'square');
  svg.setAttribute('role', 'img');
  svg.setAttribute('shape-rendering', 'crispEdges');
  const dots = document.createElementNS(SVG, 'path');
  dots.setAttribute('d', lines.join(''));
  svg.append(dots);
  return svg;
}
