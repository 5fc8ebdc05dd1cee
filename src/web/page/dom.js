// Elements without markup strings: the page's policy forbids them, and nothing fetched can become one.

const SVG = 'http://www.w3.org/2000/svg';

// 24 × 24 line drawings.
const DRAWINGS = {
  document: ['M7 3h7l5 5v13H7z', 'M14 3v5h5', 'M10 13h6', 'M10 17h6'],
  clock: ['M12 3a9 9 0 1 0 0 18a9 9 0 0 0 0-18z', 'M12 7v5l3 2'],
  lock: ['M6 11h12v9H6z', 'M9 11V8a3 3 0 0 1 6 0v3'],
  phone: ['M6 3h3l2 5-2.5 1.8a12 12 0 0 0 5.7 5.7L16 13l5 2v3a3 3 0 0 1-3.3 3A16 16 0 0 1 3 6.3A3 3 0 0 1 6 3z'],
  check: ['M4 12.5l5.5 5.5L20 7'],
  message: ['M3 5h18v14H3z', 'M3 6l9 7l9-7'],
  device: ['M7 2.5h10v19H7z', 'M11 18.5h2'],
  again: ['M20 11a8 8 0 1 0-2.3 6.5', 'M20 4v7h-7'],
  alert: ['M12 3.5L22 20.5H2z', 'M12 10v5', 'M12 17.8v.2'],
  save: ['M12 3v12', 'M7 10.5l5 5l5-5', 'M4 20h16'],
  minus: ['M5 12h14'],
  globe: ['M12 3a9 9 0 1 0 0 18a9 9 0 0 0 0-18z', 'M3.5 9h17', 'M3.5 15h17', 'M12 3c-5 5-5 13 0 18c5-5 5-13 0-18z'],
  plus: ['M5 12h14', 'M12 5v14'],
};

/** An element; `attributes` starting with "on" are listeners. Children are nodes or text. */
export function el(name, attributes, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, '');
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  svg.setAttribute('focusable', 'false');
  svg.setAttribute('class', 'icon');
  for (const line of DRAWINGS[name]) {
    const path = document.createElementNS(SVG, 'path');
    path.setAttribute('d', line);
    svg.append(path);
  }
  return svg;
}

export function button(kind, text, onPress, drawing) {
  return el('button', { type: 'button', class: kind, onclick: onPress }, drawing ? icon(drawing) : null, el('span', null, text));
}

export function telephone(phone) {
  return `tel:${phone.replace(/[^\d+]/g, '')}`;
}

/** Puts words into the live region. Cleared first, so that the same words are spoken again. */
export function say(text) {
  const live = document.getElementById('live');
  live.textContent = '';
  setTimeout(() => {
    live.textContent = text;
  }, 50);
}
