// The way of a patient through the page: look, press, answer, fetch, read, clear. Holds the only state; every other module is told.
//
// Loading spends nothing: `begin` and `look` only ask. `open` is sent after a press and never by itself.

import { currentLink, forgetSecret, onLinkPressedAgain } from './link.js';
import { Keyring, browserCanOpen } from './keys.js';
import { Refusal, Server } from './server.js';
import { Damaged, SealedFile, makeRoom } from './sealed.js';
import { Screens } from './screens.js';
import { Asking } from './asking.js';
import { CONTENTS, readContents } from './contents.js';
import { OFFER, readOffer } from './offer.js';
import { Reading } from './reading.js';
import { loadPdfjs } from './pages.js';
import { Tongue } from './tongue.js';
import { speechIn } from './words.js';
import { workersStart } from './workers.js';

const page = document.getElementById('page');
const facts = { name: page.dataset.clinic, phone: null, reference: page.dataset.reference, zone: null };
const screens = new Screens(facts);
const asking = new Asking(screens, { onAnswer: (to, text) => tell(() => server.answer(to, text)), onCode: () => tell(() => server.code()) });
let isChosen = false;
const tongue = new Tongue((language) => {
  isChosen = true;
  speak(language).catch(() => {});
});
// The server chose by what the browser prefers.
const spoken = speak(page.lang);
// Heard below; until then a failure is nobody's.
spoken.catch(() => {});

let keyring = null;
let server = null;
let look = null;
let reading = null;
// Counts starts: an answer that comes after the page went on to something else is dropped.
let turn = 0;

/** Says everything on the page in this language, what is there already too. */
async function speak(tag) {
  const speech = await speechIn(tag);
  page.lang = speech.tag;
  document.getElementById('reference-label').textContent = speech.words('reference.label');
  tongue.show(speech.language, speech.words('language.label'));
  screens.speak(speech);
  showClinic();
}

// The link's own language, unless somebody chose another or its words cannot be had.
async function follow(tag) {
  if (isChosen || !tag || tag === page.lang) return;
  try {
    await speak(tag);
  } catch (cut) {
    // What is spoken already says it as well.
  }
}

async function start() {
  turn += 1;
  const mine = turn;
  clear();
  try {
    await spoken;
  } catch (cut) {
    // The page as it came says what to do.
    return undefined;
  }
  if (mine !== turn) return undefined;
  const link = currentLink();
  if (!link.id) return screens.wrong();
  if (!link.secret) return screens.gone();
  screens.checking();
  if (!(await browserCanOpen())) return screens.old(copyLink);
  try {
    const working = workersStart();
    // Heard below; until then a failure is nobody's.
    working.catch(() => {});
    keyring = await Keyring.from(link.id, link.secret);
    server = new Server(link, keyring);
    look = await server.look();
    if (mine !== turn) return undefined;
    learn(look);
    await follow(look.language);
    if (mine !== turn) return undefined;
    if (look.state === 'ended') return finish(look);
    const works = await working;
    if (mine !== turn) return undefined;
    if (!works) return screens.old(copyLink);
    if (!hasRoom()) return screens.large();
    return showLanding();
  } catch (problem) {
    return mine === turn ? refused(problem, start) : undefined;
  }
}

function showLanding() {
  screens.landing(look, { onOpen: openDocuments, onCopy: copyLink, onDisown: confirmDisowning });
}

// Pressed by mistake it would cost the patient their document: a box to tick stands before it.
function confirmDisowning() {
  screens.disown({ onYes: () => wish(() => server.disown(), confirmDisowning), onNo: showLanding });
}

// Sends a wish after which the link stands as the server says.
async function wish(request, again) {
  turn += 1;
  const mine = turn;
  try {
    const reply = await request();
    if (mine !== turn) return undefined;
    return reply.state === 'ended' ? finish(reply) : start();
  } catch (problem) {
    return mine === turn ? refused(problem, again) : undefined;
  }
}

function learn(answer) {
  if (answer.clinic) {
    facts.name = answer.clinic.name || facts.name;
    facts.phone = answer.clinic.phone || null;
  }
  facts.reference = answer.reference || facts.reference;
  facts.zone = answer.zone || facts.zone;
  showClinic();
  document.getElementById('reference').textContent = facts.reference;
}

function showClinic() {
  document.getElementById('clinic').textContent = facts.name || screens.words('house');
}

function finish(tombstone) {
  learn(tombstone);
  if (tombstone.another === 'offered' && server) {
    // Whoever asks for another link proves once more to hold this one.
    clearDocuments();
    return screens.ended(tombstone, () => wish(() => server.another(), () => finish(tombstone)));
  }
  clear();
  forgetSecret();
  return screens.ended(tombstone, null);
}

// The room for the documents, taken before anything is spent; what is fetched goes there.
let room = [];

function hasRoom() {
  if (room.length > 0 || partial.size > 0) return true;
  try {
    room = makeRoom(look.sizes || []);
    return true;
  } catch (tooLarge) {
    return false;
  }
}

function refused(problem, again) {
  const why = problem instanceof Refusal ? problem.why : 'trouble';
  if (why === 'ended') return finish(problem.tombstone);
  if (why === 'asks') {
    look = problem.tombstone;
    return ask(null);
  }
  if (why === 'cookie') return screens.cookies(start);
  if (why === 'unknown') return screens.wrong();
  if (why === 'foreign') return screens.foreign();
  if (why === 'busy') return screens.busy(again);
  if (why === 'trouble') return screens.trouble(again);
  return screens.offline(again);
}

function ask(reply) {
  turn += 1;
  asking.show(look.asks, reply);
}

// Sends an answer or the wish for a code, and goes on as the server says.
async function tell(request) {
  turn += 1;
  const mine = turn;
  try {
    const reply = await request();
    if (mine !== turn) return undefined;
    if (reply.state === 'ended') return finish(reply);
    look = reply;
    return look.asks ? ask(reply) : openDocuments();
  } catch (problem) {
    return mine === turn ? refused(problem, () => ask(null)) : undefined;
  }
}

async function openDocuments() {
  if (look.asks) return ask(null);
  turn += 1;
  const mine = turn;
  if (!hasRoom()) return screens.large();
  const progress = screens.fetching();
  try {
    const claim = await server.open();
    if (claim.files.some((file) => file.type === 'application/pdf')) loadPdfjs().catch(() => {});
    const files = await fetchAll(claim, progress, () => mine === turn);
    if (mine !== turn) return undefined;
    return read(claim, files);
  } catch (problem) {
    if (mine !== turn) return undefined;
    if (problem instanceof Refusal) return problem.why === 'unknown' ? start() : refused(problem, openDocuments);
    server.receipt('failed')();
    forgetPartial();
    return problem instanceof Damaged ? screens.damaged(openDocuments) : screens.trouble(openDocuments);
  }
}

async function fetchAll(claim, progress, stillWanted) {
  const key = await keyring.contentKey(claim.share);
  const total = claim.files.reduce((sum, file) => sum + file.sealed_size, 0);
  const files = [];
  let arrived = 0;
  for (const file of claim.files) {
    const sealed = partlyFetched(claim, file, key);
    arrived += sealed.received;
    await server.fetchFile(file.n, sealed, (bytes) => {
      if (!stillWanted()) throw new Refusal('unknown');
      arrived += bytes;
      progress.part(arrived / total);
    });
    files.push({ sealed, n: file.n, type: file.type });
  }
  progress.ready();
  const read = files.map(({ sealed, n, type }) => ({ n, type, bytes: sealed.finish() }));
  partial.clear();
  room = [];
  return read;
}

// What a lost connection left half-fetched, so that "Try again" goes on from there.
const partial = new Map();

function partlyFetched(claim, file, key) {
  const name = `${file.version}\n${file.n}\n${file.sealed_size}`;
  if (!partial.has(name)) {
    const at = room.findIndex((plain) => plain.length === file.size);
    const plain = at < 0 ? makeRoom([file.size])[0] : room.splice(at, 1)[0];
    partial.set(name, new SealedFile(key, keyring.id, file.version, file, plain));
  }
  return partial.get(name);
}

function forgetPartial() {
  for (const sealed of partial.values()) sealed.wipe();
  partial.clear();
  room = [];
}

function read(claim, files) {
  const here = (time) => Date.now() + Math.max(60000, time - (Date.now() + server.clockAheadMs));
  const last = claim.view_until ? here(claim.view_until) : null;
  const terms = { until: Math.min(here(claim.lease_until), last || Infinity), last, save: claim.download === 'allowed' };
  // Said once something was shown: until then the same browser may open it again.
  const tellSeen = server.receipt('decrypted');
  keyring.wipe();
  forgetSecret();
  const documents = files.filter((file) => file.type !== OFFER && file.type !== CONTENTS);
  reading = new Reading(screens, documents, terms, { onSeen: tellSeen, onEnd: ended, onCopy: copyText });
  reading.offer = beside(files, OFFER, readOffer);
  reading.contents = beside(files, CONTENTS, readContents);
  reading.show();
}

// What came beside the documents; without it they are as good.
function beside(files, type, read) {
  const file = files.find((one) => one.type === type);
  if (!file) return null;
  try {
    return read(file.bytes);
  } catch (unread) {
    return null;
  } finally {
    file.bytes.fill(0);
  }
}

function ended(how, until) {
  clear();
  if (how === 'done') screens.done(look.download);
  else screens.lapsed(until, look.download);
}

/** Puts the whole link on the clipboard; only before the claim, while the secret is still here. */
async function copyLink() {
  const link = currentLink();
  if (!link.secret) return false;
  return copyText(`${location.origin}${link.base}${link.id}#${link.secret}`);
}

async function copyText(whole) {
  try {
    await navigator.clipboard.writeText(whole);
    return true;
  } catch (refusedByBrowser) {
    return copyOldWay(whole);
  }
}

function copyOldWay(text) {
  const field = document.createElement('textarea');
  field.value = text;
  field.readOnly = true;
  field.className = 'unseen';
  document.body.append(field);
  field.select();
  let copied = false;
  try {
    copied = document.execCommand('copy');
  } catch (unsupported) {
    copied = false;
  }
  field.value = '';
  field.remove();
  return copied;
}

function clearDocuments() {
  if (reading) reading.wipe();
  reading = null;
  forgetPartial();
}

function clear() {
  clearDocuments();
  if (keyring) keyring.wipe();
  keyring = null;
}

// A phone that is handed on must not bring the document back: leaving the page clears it, and the back button finds the gate.
window.addEventListener('pagehide', () => {
  turn += 1;
  if (reading || partial.size > 0) {
    clear();
    document.getElementById('main').textContent = '';
  }
});
window.addEventListener('pageshow', (event) => {
  if (event.persisted) start();
});
onLinkPressedAgain(() => {
  if (reading) forgetSecret();
  else start();
});

start();
