// Draws a PDF with the vendored pdf.js: one page at a time, as it comes into view, with its text over the picture.
//
// The document is untrusted: no eval, no scripts, no forms, no links, no address but our own. Loaded after the claim only.

import { el } from './dom.js';
import { PAUSES_MS, Refusal, fetchWhole, pause } from './server.js';
import { PDF_WORKER, startWorker } from './workers.js';

const HOME = new URL('./vendor/pdfjs/', import.meta.url).href;
const LIBRARY = `${HOME}pdf.min.js`;
// About 24 MB of canvas each; old Safari refuses a page over 16.7 million pixels and a phone with 1 GB many of them.
const PIXELS_MAX = 6000000;
const SHARPNESS_MAX = 3;
const DRAWN_PAGES_MAX = 4;

let loading = null;
// A browser keeps a module that did not arrive as missing, under its address, for as long as the page lives.
let tries = 0;
let isCut = false;
let whenCut = [];

/** pdf.js; fetched once, best while the document is still under way. `onCut` is told when the network stops it. */
export function loadPdfjs(onCut) {
  if (onCut) {
    whenCut.push(onCut);
    if (isCut) onCut();
  }
  if (!loading) {
    loading = fetchPdfjs().finally(() => {
      loading = window.pdfjsLib ? loading : null;
      isCut = false;
      whenCut = [];
    });
  }
  return loading;
}

async function fetchPdfjs() {
  for (let turn = 0; ; turn += 1) {
    tries += 1;
    const address = tries === 1 ? LIBRARY : `${LIBRARY}?${tries}`;
    try {
      // Into the cache, where a silent line is noticed; the worker too, which is asked for but once.
      await Promise.all([fetchWhole(address), fetchWhole(PDF_WORKER)]);
      await import(address);
      return window.pdfjsLib;
    } catch (cut) {
      if (turn === PAUSES_MS.length) throw new Refusal('offline');
    }
    isCut = true;
    for (const tell of whenCut) tell();
    await pause(PAUSES_MS[turn]);
  }
}

export class PdfPages {
  /**
   * `texts` has `page(n, of)`, `noText()` and `failed()`; `onPage(n)` tells which page is being read, `onDrawn()` that a page
   * can be seen.
   */
  constructor(host, texts, { onPage, onDrawn }) {
    this.host = host;
    this.texts = texts;
    this.onPage = onPage;
    this.onDrawn = onDrawn;
    this.pages = [];
    this.zoom = 1;
    this.queue = Promise.resolve();
  }

  async open(bytes) {
    const pdfjs = await loadPdfjs();
    if (this.closed) return 0;
    this.worker = startWorker(PDF_WORKER);
    const broken = new Promise((resolve, reject) => {
      this.worker.onerror = () => reject(new Error('the worker did not start'));
    });
    this.port = new pdfjs.PDFWorker({ port: this.worker, verbosity: 0 });
    // A worker handed over as a port is not told by itself to keep off the console.
    this.port.messageHandler.send('configure', { verbosity: 0 });
    this.pdfjs = pdfjs;
    const task = pdfjs.getDocument({
      data: bytes,
      worker: this.port,
      isEvalSupported: false,
      enableXfa: false,
      useWorkerFetch: false,
      useSystemFonts: false,
      cMapUrl: `${HOME}cmaps/`,
      cMapPacked: true,
      standardFontDataUrl: `${HOME}fonts/`,
      verbosity: 0,
    });
    const opened = await Promise.race([task.promise, broken]);
    if (this.closed) return 0;
    this.document = opened;
    const first = await opened.getPage(1);
    if (this.closed) return 0;
    const box = first.getViewport({ scale: 1 });
    for (let n = 1; n <= this.document.numPages; n += 1) this.addPage(n, box);
    this.layOut();
    this.near = new IntersectionObserver((seen) => this.onNear(seen), { rootMargin: '60% 0px' });
    this.here = new IntersectionObserver((seen) => this.onHere(seen), { rootMargin: '-45% 0px -45% 0px' });
    for (const page of this.pages) {
      this.near.observe(page.node);
      this.here.observe(page.node);
    }
    await this.draw(this.pages[0]);
    return this.document.numPages;
  }

  addPage(n, box) {
    const sheet = el('div', { class: 'sheet' });
    const name = this.texts.page(n, this.document.numPages);
    const title = el('h2', { class: 'unseen' }, name);
    const node = el('section', { class: 'page', 'aria-label': name }, title, sheet);
    this.host.append(node);
    this.pages.push({ n, node, title, sheet, box, drawn: false, wanted: false, task: null });
  }

  /** The names of the pages, once more in the language spoken by now. */
  sayAgain() {
    for (const { n, node, title } of this.pages) {
      title.textContent = this.texts.page(n, this.pages.length);
      node.setAttribute('aria-label', title.textContent);
    }
  }

  layOut() {
    for (const page of this.pages) this.size(page);
  }

  size(page) {
    const width = Math.max(1, Math.floor(this.host.clientWidth * this.zoom));
    page.scale = width / page.box.width;
    page.sheet.style.width = `${width}px`;
    page.sheet.style.height = `${Math.floor(page.box.height * page.scale)}px`;
  }

  onNear(seen) {
    for (const { target, isIntersecting } of seen) {
      const page = this.pages.find((one) => one.node === target);
      page.wanted = isIntersecting;
      if (isIntersecting) this.soon(page);
    }
  }

  onHere(seen) {
    const now = seen.find((one) => one.isIntersecting);
    if (now) this.onPage(this.pages.find((one) => one.node === now.target).n);
  }

  soon(page) {
    this.queue = this.queue.then(() => (page.wanted ? this.draw(page) : null));
  }

  async draw(page) {
    if (page.drawn || !this.document) return;
    page.drawn = true;
    try {
      const source = await this.document.getPage(page.n);
      const box = source.getViewport({ scale: 1 });
      if (box.width !== page.box.width || box.height !== page.box.height) {
        page.box = box;
        this.size(page);
      }
      await this.paint(page, source);
      await this.overlay(page, source);
      source.cleanup();
    } catch (problem) {
      if (!this.document || (problem && problem.name === 'RenderingCancelledException')) return;
      page.sheet.textContent = '';
      page.sheet.append(el('p', { class: 'note' }, this.texts.failed()));
    }
    this.drop();
  }

  async paint(page, source) {
    const { box, scale } = page;
    const sharp = Math.min(SHARPNESS_MAX, window.devicePixelRatio || 1, Math.sqrt(PIXELS_MAX / (box.width * box.height)) / scale);
    const viewport = source.getViewport({ scale: scale * sharp });
    const canvas = el('canvas', { 'aria-hidden': 'true' });
    canvas.width = Math.floor(viewport.width);
    canvas.height = Math.floor(viewport.height);
    page.task = source.render({ canvasContext: canvas.getContext('2d', { alpha: false }), viewport });
    page.canvas = canvas;
    await page.task.promise;
    page.sheet.textContent = '';
    page.sheet.append(canvas);
    this.onDrawn();
  }

  async overlay(page, source) {
    const textContent = await source.getTextContent();
    if (!page.drawn) return;
    const text = el('div', { class: 'textLayer' });
    const viewport = source.getViewport({ scale: page.scale });
    await this.pdfjs.renderTextLayer({ textContent, container: text, viewport, textDivs: [] }).promise;
    const silent = !textContent.items.some((item) => item.str && item.str.trim());
    page.sheet.append(text, silent ? el('p', { class: 'unseen' }, this.texts.noText()) : '');
  }

  // A phone holds few canvases: those furthest from what is read are emptied first.
  drop() {
    const drawn = this.pages.filter((page) => page.drawn && !page.wanted);
    const over = this.pages.filter((page) => page.drawn).length - DRAWN_PAGES_MAX;
    for (const page of drawn.slice(0, Math.max(0, over))) this.empty(page);
  }

  empty(page) {
    if (page.task) page.task.cancel();
    if (page.canvas) {
      page.canvas.width = 0;
      page.canvas.height = 0;
    }
    page.canvas = null;
    page.task = null;
    page.sheet.textContent = '';
    page.drawn = false;
  }

  resize(zoom) {
    this.zoom = zoom;
    for (const page of this.pages) this.empty(page);
    this.layOut();
    for (const page of this.pages) if (page.wanted) this.soon(page);
  }

  /** The document's bytes, asked back from the worker so that they are not held twice. */
  bytes() {
    return this.document.getData();
  }

  close() {
    this.closed = true;
    if (this.near) this.near.disconnect();
    if (this.here) this.here.disconnect();
    for (const page of this.pages) this.empty(page);
    const { document } = this;
    this.document = null;
    if (document) document.destroy().catch(() => {});
    if (this.worker) this.worker.terminate();
  }
}
