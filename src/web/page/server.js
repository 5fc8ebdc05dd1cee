// The conversation with our own server. Nothing here spends an opening except `open`, and `open` may be repeated.

const ANSWER_MS_MAX = 20000;
const SILENCE_MS_MAX = 20000;
/** How long to wait before each further try of what the network did not bring. */
export const PAUSES_MS = [400, 1000, 2000, 4000, 8000, 8000];

/**
 * Why a request did not bring what it should: `offline`, `busy`, `cookie`, `foreign`, `unknown`, `ended` (with the
 * tombstone) or `asks` (with what is asked). Whatever else goes wrong is not the network's doing, and is no `Refusal`.
 */
export class Refusal extends Error {
  constructor(why, tombstone) {
    super(why);
    this.why = why;
    this.tombstone = tombstone || null;
  }
}

/** Waits, but no longer than until the network is there again. */
export function pause(ms) {
  return new Promise((resolve) => {
    const wake = () => {
      clearTimeout(timer);
      window.removeEventListener('online', wake);
      resolve();
    };
    const timer = setTimeout(wake, ms);
    window.addEventListener('online', wake);
  });
}

async function refusalOf(response) {
  if (response.status === 409) {
    const body = await response.json();
    return new Refusal(body.state === 'ended' ? 'ended' : 'asks', body);
  }
  if (response.status === 403) {
    const body = await response.json().catch(() => ({}));
    return new Refusal(body.problem === 'cookie' || body.problem === 'foreign' ? body.problem : 'unknown');
  }
  if (response.status === 408) return new Refusal('offline');
  if (response.status === 429 || response.status >= 500) return new Refusal('busy');
  return new Refusal('unknown');
}

async function post(url, body) {
  const cutter = new AbortController();
  const timer = setTimeout(() => cutter.abort(), ANSWER_MS_MAX);
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
      credentials: 'same-origin',
      cache: 'no-store',
      redirect: 'error',
      signal: cutter.signal,
    });
    if (!response.ok) throw await refusalOf(response);
    return await response.json();
  } catch (problem) {
    if (problem instanceof Refusal) throw problem;
    throw new Refusal('offline');
  } finally {
    clearTimeout(timer);
  }
}

// What the network does is `offline`. That memory ran out is not its doing.
async function fromNetwork(promise) {
  try {
    return await promise;
  } catch (problem) {
    if (problem instanceof RangeError) throw problem;
    throw new Refusal('offline');
  }
}

// Cuts a download once it has been silent for too long.
function listenTo(cutter) {
  let timer = null;
  const stop = () => clearTimeout(timer);
  const alive = () => {
    stop();
    timer = setTimeout(() => cutter.abort(), SILENCE_MS_MAX);
  };
  alive();
  return { alive, stop };
}

/** One of the page's own files, whole; it is in the browser's cache from then on. */
export async function fetchWhole(address) {
  const cutter = new AbortController();
  const line = listenTo(cutter);
  try {
    const response = await fromNetwork(fetch(address, { credentials: 'same-origin', redirect: 'error', signal: cutter.signal }));
    if (!response.ok) throw new Refusal('offline');
    const chunks = [];
    for await (const chunk of chunksOf(response)) {
      line.alive();
      chunks.push(chunk);
    }
    return new Uint8Array(await new Blob(chunks).arrayBuffer());
  } finally {
    line.stop();
  }
}

/** One link's routes. */
export class Server {
  constructor(link, keyring) {
    this.url = link.base + link.id;
    this.keyring = keyring;
    this.proven = null;
    this.cookieHash = null;
    this.clockAheadMs = 0;
  }

  async begin() {
    const answer = await post(`${this.url}/begin`, {});
    this.cookieHash = answer.cookie_hash;
    this.clockAheadMs = answer.now - Date.now();
    this.proven = { nonce: answer.nonce, proof: await this.keyring.proof(answer.nonce, answer.cookie_hash) };
  }

  /** The link's state, or its tombstone. */
  async look() {
    await this.begin();
    return post(`${this.url}/look`, this.proven);
  }

  /** Answers what the link asks. Never sent twice: each answer is counted. */
  answer(to, answer) {
    return this.proving('answer', { to, answer });
  }

  /** Has a code sent. */
  code() {
    return this.proving('code', {});
  }

  /** Says that the link was not for whoever holds it; ends it. */
  disown() {
    return this.proving('disown', {});
  }

  /** Asks for another link in the place of one that ended. */
  another() {
    return this.proving('another', {});
  }

  // An aged nonce is refused before anything is counted, and renewed once.
  async proving(step, more) {
    try {
      return await post(`${this.url}/${step}`, { ...this.proven, ...more });
    } catch (refusal) {
      if (refusal.why !== 'unknown') throw refusal;
      await this.begin();
      return post(`${this.url}/${step}`, { ...this.proven, ...more });
    }
  }

  /** Claims the document for this browser. A lost answer is asked for again; an aged nonce is renewed once. */
  async open() {
    for (let turn = 0; ; turn += 1) {
      try {
        return await post(`${this.url}/open`, this.proven);
      } catch (refusal) {
        if (refusal.why === 'unknown' && turn === 0) await this.begin();
        else if (refusal.why !== 'offline' || turn >= 2) throw refusal;
        else await pause(PAUSES_MS[turn]);
      }
    }
  }

  /**
   * Signs now how decryption ended, so that the keys may be wiped, and gives back what says so to the server. That never
   * fails: the lease ends the opening with or without it.
   */
  receipt(outcome) {
    const signed = this.keyring.receipt(outcome, this.cookieHash);
    signed.catch(() => {});
    return () => this.sendReceipt(outcome, signed);
  }

  async sendReceipt(outcome, signed) {
    try {
      const options = {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ outcome, mac: await signed }),
        credentials: 'same-origin',
      };
      // Chrome 80 refuses `keepalive` with a JSON body.
      await fetch(`${this.url}/receipt`, { ...options, keepalive: true }).catch(() => fetch(`${this.url}/receipt`, options));
    } catch (lost) {
      // Nothing that the patient could do about it.
    }
  }

  /** Fetches file `n` into `sealed`, going on where a cut connection left off. Calls `onBytes` as bytes come. */
  async fetchFile(n, sealed, onBytes) {
    const state = { etag: null, failures: 0 };
    while (sealed.received < sealed.sealedSize) {
      const before = sealed.received;
      try {
        await this.fetchRest(n, sealed, state, onBytes);
        if (sealed.received === before) throw new Refusal('offline');
      } catch (problem) {
        const passing = problem instanceof Refusal && (problem.why === 'offline' || problem.why === 'busy');
        if (!passing) throw problem;
        if (sealed.received > before) state.failures = 0;
        if (state.failures >= PAUSES_MS.length) throw new Refusal('offline');
        await pause(PAUSES_MS[state.failures]);
        state.failures += 1;
      }
    }
  }

  async fetchRest(n, sealed, state, onBytes) {
    const cutter = new AbortController();
    const line = listenTo(cutter);
    try {
      const resuming = sealed.received > 0;
      const headers = {};
      if (resuming) {
        headers.Range = `bytes=${sealed.received}-`;
        if (state.etag) headers['If-Range'] = state.etag;
      }
      const options = { headers, credentials: 'same-origin', cache: 'no-store', redirect: 'error', signal: cutter.signal };
      const response = await fromNetwork(fetch(`${this.url}/files/${n}`, options));
      if (!response.ok) throw await refusalOf(response);
      state.etag = response.headers.get('ETag') || state.etag;
      let skip = resuming ? bytesToSkip(response, sealed.received) : 0;
      for await (const chunk of chunksOf(response)) {
        line.alive();
        const fresh = chunk.subarray(Math.min(skip, chunk.length));
        skip -= chunk.length - fresh.length;
        await sealed.push(fresh);
        onBytes(fresh.length);
      }
    } finally {
      line.stop();
    }
  }
}

// A server or proxy that ignores Range sends everything again: the part that we have is passed over. Were it another
// file, its tags would not verify.
function bytesToSkip(response, received) {
  if (response.status !== 206) return received;
  const range = /^bytes (\d+)-/.exec(response.headers.get('Content-Range') || '');
  if (!range || Number(range[1]) !== received) throw new Refusal('offline');
  return 0;
}

async function* chunksOf(response) {
  if (!response.body || !response.body.getReader) {
    yield new Uint8Array(await fromNetwork(response.arrayBuffer()));
    return;
  }
  const reader = response.body.getReader();
  try {
    for (;;) {
      const { done, value } = await fromNetwork(reader.read());
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
