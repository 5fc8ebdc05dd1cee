// Shows a document that Chartseal wrote, from results or from a document of another kind.
//
// The page's policy forbids markup, and so does this: the few elements and attributes of the document's template are read here and
// made anew, one by one, and anything else makes it a document that cannot be shown.

import { el } from './dom.js';

// What becomes of each element: the page has a first heading of its own.
const ELEMENTS = {
  h1: 'h2', h2: 'h3', h3: 'h4', h4: 'h5', h5: 'h6', h6: 'h6', header: 'div', footer: 'div', p: 'p', span: 'span', strong: 'strong', div: 'div', dl: 'dl', dt: 'dt', dd: 'dd',
  table: 'table', caption: 'caption', thead: 'thead', tbody: 'tbody', tr: 'tr', th: 'th', td: 'td',
  ul: 'ul', ol: 'ol', li: 'li', em: 'em', u: 'u', sub: 'sub', sup: 'sup',
};
const ATTRIBUTES = /^(class|dir|lang|scope|colspan|rowspan|start|id|headers)$/;
const CLASSES = { h1: 'title', h2: 'subtitle' };
const WHOLE = /<main class="paper" lang="([A-Za-z0-9-]+)">([^]*)<\/main>/;
const PIECE = /<(\/?)([a-z][a-z0-9]*)((?: [a-z]+="[A-Za-z0-9 _-]*")*)>|([^<]+)/y;
const DEPTH_MAX = 60;

function decode(text) {
  return text.replace(/&(?:#(\d{1,7});)?/g, (whole, code) => {
    if (!code) throw new TypeError('entity');
    return String.fromCodePoint(Number(code));
  });
}

function attributes(text, prefix) {
  const found = {};
  for (const [, name, value] of text.matchAll(/ ([a-z]+)="([^"]*)"/g)) {
    if (!ATTRIBUTES.test(name)) throw new TypeError('attribute');
    // Several documents may stand on one page.
    found[name] = name === 'id' || name === 'headers' ? `${prefix}-${value}` : value;
  }
  return found;
}

function build(source, root, prefix) {
  const open = [{ name: 'main', node: root }];
  PIECE.lastIndex = 0;
  while (PIECE.lastIndex < source.length) {
    const piece = PIECE.exec(source);
    if (!piece) throw new TypeError('piece');
    const [, closes, name, given, text] = piece;
    const within = open[open.length - 1];
    if (text !== undefined) {
      const words = decode(text);
      // The template breaks lines where no text may stand.
      if (words.trim() || within.name === 'td' || within.name === 'span') within.node.append(words);
    } else if (closes) {
      if (within.name !== name || open.length === 1) throw new TypeError('end');
      open.pop();
    } else {
      if (!Object.prototype.hasOwnProperty.call(ELEMENTS, name) || open.length > DEPTH_MAX) throw new TypeError('element');
      const node = el(ELEMENTS[name], attributes(given, prefix));
      if (CLASSES[name]) node.classList.add(CLASSES[name]);
      within.node.append(node);
      open.push({ name, node });
    }
  }
  if (open.length !== 1) throw new TypeError('end');
}

// Its look comes with the first one; without it the document is as readable.
function addLook() {
  const href = new URL('paper.css', import.meta.url).href;
  if (document.querySelector(`link[href="${href}"]`)) return Promise.resolve();
  return new Promise((resolve) => {
    document.head.append(el('link', { rel: 'stylesheet', href, onload: resolve, onerror: resolve }));
  });
}

/** The document in `bytes` as an element, the `n`th on its page. Throws where it is none of ours. */
export async function paperOf(bytes, n) {
  const html = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  const whole = WHOLE.exec(html);
  if (!whole) throw new TypeError('document');
  const root = el('article', { class: 'paper', lang: whole[1] });
  build(whole[2], root, `paper-${n}`);
  await addLook();
  return root;
}
