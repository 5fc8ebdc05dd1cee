// Takes the link's secret out of the address bar. Loaded first and without imports, so that nothing runs before it.
//
// The secret stays in this module's memory: never in storage, history, a request or the page.

const ID = '[A-Za-z0-9_-]{16}';
// 16 bytes in base64url: the last of the 22 characters carries two bits, so a "." or "_" glued on by a mail programme is seen.
const SECRET = '[A-Za-z0-9_-]{21}[AQgw]';
const WHOLE = new RegExp(`^(${ID})(?![A-Za-z0-9_-])[^#]*#+(${SECRET})(?![A-Za-z0-9])`);
const ID_ONLY = new RegExp(`^(${ID})(?![A-Za-z0-9_-])`);
// Mail gateways write "#" as %23, and some write that again as %2523.
const DECODINGS_MAX = 4;

/** `{base, id, secret}` from an address; `id` and `secret` are null where the address lacks them. */
export function readLink(pathname, search, hash) {
  const start = pathname.indexOf('/r/') + 3;
  const base = pathname.slice(0, start);
  let rest = pathname.slice(start) + search + hash;
  for (let turn = 0; turn <= DECODINGS_MAX; turn += 1) {
    const whole = WHOLE.exec(rest);
    if (whole) return { base, id: whole[1], secret: whole[2] };
    const decoded = decodeOnce(rest);
    if (decoded === rest) break;
    rest = decoded;
  }
  const only = ID_ONLY.exec(rest);
  return { base, id: only ? only[1] : null, secret: null };
}

function decodeOnce(text) {
  try {
    return decodeURIComponent(text);
  } catch (malformed) {
    return text.replace(/%25/g, '%').replace(/%23/g, '#');
  }
}

let link = null;
let listener = null;

function take() {
  const found = readLink(location.pathname, location.search, location.hash);
  const clean = found.base + (found.id || 'incomplete');
  if (location.pathname + location.search + location.hash !== clean || location.href.indexOf('#') >= 0) {
    history.replaceState(null, '', clean);
  }
  // The same link pressed again without its secret must not wipe the one that we hold.
  if (found.secret || !link || found.id !== link.id) link = found;
}

take();
window.addEventListener('hashchange', () => {
  take();
  if (listener) listener();
});

/** The link this page was opened with. */
export function currentLink() {
  return link;
}

/** Calls back when the same link is pressed again: browsers then only change the fragment. */
export function onLinkPressedAgain(callback) {
  listener = callback;
}

/** Forgets the secret; from now on the link in the message has to be pressed again. */
export function forgetSecret() {
  if (link) link = { base: link.base, id: link.id, secret: null };
}
