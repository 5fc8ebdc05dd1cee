// The screen on which documents are read: pages, pictures, text, the tools above them, and the end of the time.
//
// Everything readable is reachable from `wipe()`: after it nothing of the document is left on the page or in its memory.

import { button, el, icon, say } from './dom.js';
import { notesOf, titleOf } from './contents.js';
import { offerOf } from './offer.js';
import { PdfPages, loadPdfjs } from './pages.js';
import { paperOf } from './paper.js';
import { Refusal } from './server.js';
import { paintedPicture, withhold } from './viewing.js';
import { timeHere } from './words.js';

const ZOOMS = [1, 1.5, 2, 3];
const WARNING_MS = 120000;
const STAY_MS = 900000;
const SAVED_URL_MS = 60000;

const EXTENSIONS = { 'application/pdf': 'pdf', 'image/png': 'png', 'image/jpeg': 'jpg', 'text/plain': 'txt', 'text/html': 'html' };

// EHRs write plain text as UTF-8, with a mark as UTF-16, and on old Windows machines as neither.
function decode(bytes) {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return new TextDecoder('utf-16le').decode(bytes);
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return new TextDecoder('utf-16be').decode(bytes);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (notUtf8) {
    return new TextDecoder('windows-1252').decode(bytes);
  }
}

export class Reading {
  /**
   * `files` are `{n, type, bytes}` in plaintext, owned from here. `terms` are `{until, last, save}`: whoever stays can stay until
   * `last`, for ever where there is none. `onSeen()` is told once each of them was shown or saved;
   * `onEnd(how)` gets `done` or `lapsed`.
   */
  constructor(screens, files, terms, { onSeen, onEnd, onCopy }) {
    this.screens = screens;
    this.files = files;
    this.unseen = new Set(files);
    this.terms = terms;
    this.onSeen = onSeen;
    this.onEnd = onEnd;
    this.onCopy = onCopy;
    // What a health app can be given, and what the clinic says of the documents.
    this.offer = null;
    this.contents = null;
    // What the notice holds: something told, or a question that stays until it is answered.
    this.boxes = { told: null, sure: null, stay: null };
    this.parts = [];
    this.urls = [];
    this.sayings = [];
    this.zoom = 0;
    this.until = terms.until;
  }

  async show() {
    const { screens } = this;
    const many = this.files.length > 1;
    this.heading = el('h1', null, screens.say('doc.title', { n: this.files.length }));
    this.untilLine = el('p', { class: 'small' }, this.untilText());
    this.notice = el('div', { class: 'notice' });
    this.host = el('div', { class: 'documents' });
    const head = el('header', { class: 'reading-head' }, this.heading, this.untilLine);
    this.desk = el('div', { class: 'desk' }, this.tools(), this.notice);
    if (!this.terms.save) withhold(this.host);
    screens.show(this.heading, [head, this.desk, this.host], this.terms.save ? 'reading' : 'reading kept');
    screens.again = () => this.sayAgain();
    say(screens.say('doc.ready'));
    this.width = this.host.clientWidth;
    this.startClock();
    window.addEventListener('resize', this.onResize = () => this.afterResize());
    if (many) this.sayPlace(() => screens.say('doc.count', { n: this.files.length }));
    const notes = notesOf(this, this.contents);
    if (notes) this.host.append(notes);
    for (const file of this.files) {
      await this.addFile(file, many);
      if (!this.files) return;
    }
    if (this.offer) this.host.append(offerOf(this, this.offer, this.onCopy));
  }

  // Where nothing is shown that could be larger or smaller there is no button for it.
  fitTools() {
    const { bar, sizes, smaller, larger } = this;
    const isWanted = this.parts.length > 0;
    if (isWanted === smaller.isConnected) return;
    if (this.files.length === 1) {
      if (isWanted) bar.prepend(sizes);
      else this.takeOff(sizes);
    } else if (isWanted) {
      sizes.prepend(smaller);
      sizes.append(larger);
    } else {
      this.takeOff(smaller);
      this.takeOff(larger);
    }
  }

  // Takes something off the page. The focus, if it was in there, goes `to`, or to the heading: not to the top of the page.
  takeOff(node, to) {
    const hadFocus = node.contains(document.activeElement);
    node.remove();
    if (hadFocus) (to && to !== document.body && to.isConnected ? to : this.heading).focus({ preventScroll: true });
  }

  untilText() {
    const id = this.isLast() ? 'doc.ends' : 'doc.until';
    return this.screens.say(id, { time: timeHere(this.until, this.screens.language) });
  }

  isLast() {
    return Boolean(this.terms.last) && this.until >= this.terms.last;
  }

  /** What is said where something cannot be shown: of what may not be saved, saving is no way out. */
  sayUnshown(id) {
    return this.screens.say(this.terms.save ? id : `${id}.kept`);
  }

  tools() {
    const { screens } = this;
    const tool = (kind, id, press, drawing) => this.told(() => screens.say(id), button(kind, '', press, drawing));
    this.smaller = tool('tool only', 'doc.smaller', () => this.zoomTo(this.zoom - 1), 'minus');
    this.larger = tool('tool only', 'doc.larger', () => this.zoomTo(this.zoom + 1), 'plus');
    this.smaller.setAttribute('aria-disabled', 'true');
    this.place = el('span', { class: 'place' });
    const bar = el('div', { class: 'tools', role: 'group' });
    this.named(() => screens.say('doc.tools'), bar);
    this.sizes = el('div', { class: 'sizes' }, this.smaller, this.place, this.larger);
    this.bar = bar;
    bar.append(this.sizes);
    if (this.terms.save && this.files.length === 1) bar.append(this.saveButton(this.files[0], 'doc.save'));
    bar.append(tool('tool done', 'doc.done', () => this.askDone(), 'check'));
    return bar;
  }

  saveButton(file, id) {
    return this.told(() => this.screens.say(id, { n: file.n }), button('tool save', '', () => this.save(file), 'save'));
  }

  async addFile(file, many) {
    const { screens } = this;
    const place = el('div', { class: 'document' });
    const count = this.files.length;
    const nth = () => screens.say('doc.nth', { n: file.n, of: count });
    if (many) {
      const called = titleOf(this.contents, file.n);
      const title = called ? el('h2', { dir: 'auto' }, called) : this.told(nth, el('h2'));
      place.append(el('div', { class: 'document-head' }, title, this.terms.save ? this.saveButton(file, 'doc.save.nth') : null));
    }
    this.host.append(place);
    const body = this.named(many ? nth : () => screens.say('doc.title', { n: 1 }), el('div', { class: 'body', tabindex: '0', role: 'region' }));
    place.append(body);
    await this.fill(file, body);
  }

  async fill(file, body) {
    try {
      if (file.type === 'application/pdf') await this.addPdf(file, body);
      else if (file.type === 'text/plain') this.addText(file, body);
      else if (file.type === 'text/html') await this.addPaper(file, body);
      else if (EXTENSIONS[file.type]) await this.addPicture(file, body);
      else throw new TypeError('type');
    } catch (unshown) {
      if (!this.files) return;
      this.drop(file);
      body.textContent = '';
      body.append(unshown instanceof Refusal ? this.missing(file, body) : this.told(() => this.sayUnshown('doc.unshown'), el('p', { class: 'note' })));
    }
    if (this.files) this.fitTools();
  }

  // What shows `file` follows the size, and ends with the reading.
  adopt(file, part) {
    file.part = part;
    this.parts.push(part);
  }

  drop(file) {
    if (file.part) file.part.close();
    this.parts = this.parts.filter((part) => part !== file.part);
    file.part = null;
  }

  // The document is here, but what shows it did not come.
  missing(file, body) {
    const text = this.sayUnshown('doc.missing');
    const again = button('quiet', this.screens.say('retry'), () => {
      this.takeOff(note, body);
      this.fill(file, body);
    }, 'again');
    const note = el('div', { class: 'note' }, el('p', null, text), again);
    say(text);
    return note;
  }

  // Until then the same browser may open it again, should this page show nothing or be lost.
  seen(file) {
    if (this.unseen.delete(file) && this.unseen.size === 0) this.onSeen();
  }

  async addPdf(file, body) {
    const { screens } = this;
    const texts = {
      page: (n, of) => screens.say('doc.page', { n, of }),
      noText: () => screens.say('doc.page.notext'),
      failed: () => this.sayUnshown('doc.page.failed'),
    };
    const waiting = el('p', { class: 'note' }, screens.say('doc.waiting'));
    await loadPdfjs(() => {
      if (!this.files || waiting.isConnected) return;
      body.append(waiting);
      say(waiting.textContent);
    });
    waiting.remove();
    if (!this.files) return;
    let count = 0;
    const pages = new PdfPages(body, texts, {
      onPage: (n) => this.setPlace(() => (count > 1 ? texts.page(n, count) : '')),
      onDrawn: () => this.seen(file),
    });
    this.adopt(file, pages);
    count = await pages.open(file.bytes);
    if (!this.files) return;
    file.bytes.fill(0);
    file.bytes = null;
    file.again = () => pages.bytes();
    this.setPlace(() => screens.say(count === 1 ? 'doc.pages.one' : 'doc.page', { n: 1, of: count }));
  }

  async addPicture(file, body) {
    const url = this.url(new Blob([file.bytes], { type: file.type }));
    const alt = () => this.screens.say('doc.picture.alt');
    if (!this.terms.save) {
      const painted = this.named(alt, await paintedPicture(url));
      if (!this.files) return;
      this.hang(file, body, painted);
      this.seen(file);
      return;
    }
    const picture = this.named(alt, el('img', { class: 'picture', src: url }), 'alt');
    const shown = new Promise((resolve, reject) => {
      picture.onload = resolve;
      picture.onerror = reject;
    });
    this.hang(file, body, picture);
    await shown;
    this.seen(file);
  }

  hang(file, body, picture) {
    body.append(picture);
    this.adopt(file, {
      resize: (zoom) => {
        picture.style.width = `${zoom * 100}%`;
      },
      close: () => {
        picture.removeAttribute('src');
        // Of a painted one: gives its memory back.
        if (picture.getContext) picture.width = 0;
      },
    });
    this.setPlace(() => this.screens.say('doc.picture'));
  }

  addText(file, body) {
    const text = decode(file.bytes);
    // Laboratories line their values up with spaces.
    const columns = /\S( {2,}|\t)\S/.test(text);
    const block = el('div', { class: columns ? 'text columns' : 'text' }, text);
    body.append(block);
    this.adopt(file, {
      resize: (zoom) => {
        body.style.fontSize = `${zoom}em`;
      },
      close: () => {},
    });
    this.setPlace(() => this.screens.say('doc.text'));
    this.seen(file);
  }

  // Written by Chartseal from results; nothing that was sent is of this type.
  async addPaper(file, body) {
    const paper = await paperOf(file.bytes, file.n);
    if (!this.files) return;
    body.append(paper);
    this.adopt(file, {
      resize: (zoom) => {
        body.style.fontSize = `${zoom}em`;
      },
      close: () => {},
    });
    this.setPlace(() => this.screens.say('doc.results'));
    this.seen(file);
  }

  setPlace(words) {
    if (this.files.length === 1 && words()) this.sayPlace(words);
  }

  sayPlace(words) {
    this.placeWords = words;
    this.place.textContent = words();
  }

  // What stays on the page is said by `words()`, now and again in another language. A button's words stand behind its icon.
  told(words, node) {
    const put = () => {
      (node.querySelector('span') || node).textContent = words();
    };
    return this.spoken(put, node);
  }

  named(words, node, attribute) {
    return this.spoken(() => node.setAttribute(attribute || 'aria-label', words()), node);
  }

  spoken(put, node) {
    put();
    this.sayings.push(put);
    return node;
  }

  sayAgain() {
    const { screens } = this;
    this.heading.textContent = screens.say('doc.title', { n: this.files.length });
    this.untilLine.textContent = this.untilText();
    document.title = screens.say('title.of', { title: this.heading.textContent });
    for (const put of this.sayings) put();
    if (this.placeWords) this.place.textContent = this.placeWords();
    for (const part of this.parts) if (part.sayAgain) part.sayAgain();
    // Questions that are open are asked again by whoever asked them.
    if (this.boxes.told) this.dismiss('told');
    if (this.boxes.sure) this.askDone();
    if (this.boxes.stay) this.askStay();
  }

  zoomTo(step) {
    this.zoom = Math.max(0, Math.min(ZOOMS.length - 1, step));
    // Truly disabled, the button just pressed would lose the focus.
    this.smaller.setAttribute('aria-disabled', String(this.zoom === 0));
    this.larger.setAttribute('aria-disabled', String(this.zoom === ZOOMS.length - 1));
    for (const part of this.parts) part.resize(ZOOMS[this.zoom]);
    say(this.screens.say('doc.size', { percent: ZOOMS[this.zoom] * 100 }));
  }

  afterResize() {
    if (this.host.clientWidth === this.width) return;
    clearTimeout(this.resizing);
    this.resizing = setTimeout(() => {
      this.width = this.host.clientWidth;
      for (const part of this.parts) part.resize(ZOOMS[this.zoom]);
    }, 200);
  }

  url(blob) {
    const url = URL.createObjectURL(blob);
    this.urls.push(url);
    return url;
  }

  async save(file) {
    try {
      const bytes = file.bytes || (await file.again());
      const part = this.files.length > 1 ? `-${file.n}` : '';
      const name = `document-${this.screens.facts.reference || 'copy'}${part}.${EXTENSIONS[file.type] || 'bin'}`;
      const copy = new File([bytes], name, { type: file.type });
      const url = this.url(copy);
      const anchor = el('a', { href: url, download: name, class: 'unseen' });
      document.body.append(anchor);
      anchor.click();
      anchor.remove();
      setTimeout(() => URL.revokeObjectURL(url), SAVED_URL_MS);
      this.seen(file);
      this.afterSave(copy);
    } catch (unsaved) {
      this.tell(this.screens.say('doc.unsaved'));
    }
  }

  // Some apps' built-in browsers ignore a download without a word: the system's own sheet is the way round.
  afterSave(copy) {
    const shareable = navigator.canShare && navigator.canShare({ files: [copy] });
    const share = () => navigator.share({ files: [copy] }).catch((problem) => {
      if (problem.name !== 'AbortError') this.tell(this.screens.say('doc.unsaved'));
    });
    this.tell(this.screens.say('doc.saved'), shareable ? button('quiet', this.screens.say('doc.share'), share) : null);
  }

  // Puts a box into the notice, in place of an older one of its kind only: a question that is open keeps its place and
  // its focus.
  notify(kind, box) {
    const older = this.boxes[kind];
    const active = document.activeElement;
    if (!this.notice.contains(active)) this.back = active;
    this.boxes[kind] = box;
    if (older && older.contains(active)) {
      older.replaceWith(box);
      box.querySelector('button').focus();
    } else {
      if (older) older.remove();
      this.notice.append(box);
    }
    this.fitDesk();
  }

  // What stays in view must fit into it: two boxes do not on a small phone.
  fitDesk() {
    this.desk.classList.toggle('tall', this.notice.childElementCount > 1);
  }

  // Whoever had the focus before the notice came has it again.
  dismiss(kind) {
    const box = this.boxes[kind];
    this.boxes[kind] = null;
    if (box) this.takeOff(box, this.back);
    this.fitDesk();
  }

  tell(text, ...more) {
    const close = button('quiet', this.screens.say('ok'), () => this.dismiss('told'));
    this.notify('told', el('div', { class: 'told' }, el('p', null, text), el('div', { class: 'choices' }, ...more, close)));
    say(text);
  }

  askDone() {
    const { screens } = this;
    const yes = button('primary', screens.say('done.yes'), () => this.end('done'));
    const keep = button('quiet', screens.say('done.no'), () => this.dismiss('sure'));
    const text = el('p', { id: 'sure' }, screens.say('done.sure'));
    this.dismiss('told');
    this.notify('sure', el('div', { class: 'told', role: 'group', 'aria-labelledby': 'sure' }, text, el('div', { class: 'choices' }, yes, keep)));
    yes.focus();
  }

  // WCAG 2.2.1: the end is announced, and staying takes one press, as often as wanted. The document is already here; the
  // time protects a phone that was left lying.
  startClock() {
    this.clock = setInterval(() => {
      const left = this.until - Date.now();
      if (left <= 0) this.end('lapsed');
      else if (left <= WARNING_MS && !this.boxes.stay) this.askStay();
    }, 1000);
  }

  askStay() {
    const { screens } = this;
    const time = timeHere(this.until, screens.language);
    if (this.isLast()) {
      this.announceEnd(screens.say('soon.last.title'), screens.say('soon.last.text', { time }));
      return;
    }
    const stay = button('primary', screens.say('soon.stay'), () => {
      this.until = Math.min(Date.now() + STAY_MS, this.terms.last || Infinity);
      this.untilLine.textContent = this.untilText();
      this.dismiss('stay');
      this.tell(screens.say('soon.stayed', { time: timeHere(this.until, screens.language) }));
    });
    this.announceEnd(screens.say('soon.title'), screens.say('soon.text', { time }), stay);
  }

  announceEnd(title, text, ...more) {
    this.notify('stay', el('div', { class: 'told', role: 'group', 'aria-label': title },
      el('p', { class: 'strong' }, icon('clock'), title), el('p', null, text), ...more));
    say(`${title} ${text}`);
  }

  end(how) {
    const { until } = this;
    this.wipe();
    this.onEnd(how, until);
  }

  wipe() {
    clearInterval(this.clock);
    clearTimeout(this.resizing);
    window.removeEventListener('resize', this.onResize);
    for (const part of this.parts) part.close();
    for (const url of this.urls) URL.revokeObjectURL(url);
    for (const file of this.files || []) {
      if (file.bytes) file.bytes.fill(0);
      file.bytes = null;
      file.again = null;
    }
    this.parts = [];
    this.urls = [];
    this.sayings = [];
    this.offer = null;
    this.contents = null;
    this.files = null;
    if (this.host) this.host.textContent = '';
  }
}
