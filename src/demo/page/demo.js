// Shows what the demo's service says once a second, and sends what is pressed. Text only ever becomes text.

const LOOK_EVERY_MS = 1000;
const ENDED = 'The demo has ended. Start it again with “chartseal demo”.';

const DEEDS = {
  correct: 'Correct this report',
  withdraw: 'Withdraw this report',
  release: 'Release it',
  revoke: 'Revoke it',
  resend: 'Send it again',
};

const byId = (id) => document.getElementById(id);
const told = byId('told');
const frame = byId('message');
let chosen = null;
let shownMessages = '';
const shownReports = new Map();

function el(name, attributes, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

function tell(text) {
  if (told.textContent !== text) told.textContent = text;
  told.hidden = text === '';
}

const isInstant = (text) => /^\d{4}-\d\d-\d\dT/.test(text);
const clock = (text) => new Date(text).toLocaleTimeString([], { hour12: false });
const day = (text) => new Date(text).toLocaleString([], { weekday: 'short', day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' });

async function act(deed, pressed) {
  pressed.disabled = true;
  try {
    const answer = await fetch('/deeds', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(deed),
    });
    const said = await answer.json();
    tell(said.problem ? `Not done: ${said.problem}.` : '');
    await look();
  } catch {
    tell(ENDED);
  } finally {
    pressed.disabled = false;
  }
}

function choose(n) {
  if (chosen === n) return;
  chosen = n;
  frame.src = `/messages/${n}`;
  frame.hidden = false;
  for (const envelope of document.querySelectorAll('.envelope')) {
    envelope.setAttribute('aria-current', String(envelope.dataset.n === String(n)));
  }
}

// As high as the message, which runs no script of its own.
function fit() {
  const inside = frame.contentDocument;
  if (inside && inside.body) frame.style.height = `${inside.documentElement.offsetHeight}px`;
}
frame.addEventListener('load', fit);
addEventListener('resize', fit);

function showMessages(messages) {
  const now = JSON.stringify(messages);
  if (now === shownMessages) return;
  shownMessages = now;
  byId('no-messages').hidden = messages.length > 0;
  byId('messages').replaceChildren(
    ...messages.map((message) =>
      el(
        'li',
        null,
        el(
          'button',
          {
            type: 'button',
            class: 'envelope',
            'data-n': message.n,
            'aria-current': String(message.n === chosen),
            onclick: () => choose(message.n),
          },
          el('span', { class: 'to' }, message.to),
          el('time', { class: 'at', datetime: message.at }, clock(message.at)),
          el('span', { class: 'subject' }, `${message.from}: ${message.subject}`),
        ),
      ),
    ),
  );
  if (chosen === null && messages.length > 0) choose(messages[messages.length - 1].n);
}

function list(title, key, lines) {
  if (lines.length === 0) return null;
  return el('details', { 'data-key': key }, el('summary', null, title), el('ul', null, ...lines));
}

function deeds(who, can, deed) {
  if (can.length === 0) return null;
  const buttons = can.map((name) =>
    el(
      'button',
      { type: 'button', class: name === 'release' ? 'first' : null, 'data-deed': name, onclick: (event) => act(deed(name), event.currentTarget) },
      DEEDS[name],
    ),
  );
  return el('div', { class: 'deeds', role: 'group', 'aria-label': `Act as ${who}` }, el('span', null, `As ${who}:`), ...buttons);
}

function delivered(delivery) {
  const terms = delivery.terms.map(([name, value]) =>
    el('div', null, el('dt', null, name), el('dd', null, isInstant(value) ? day(value) : value)),
  );
  const toMessage = delivery.messages.map((n) =>
    el('button', { type: 'button', class: 'to-message', 'data-message': n, onclick: () => { choose(n); byId('mail-title').scrollIntoView(); } }, 'Show the message'),
  );
  const staff = deeds('staff', delivery.can, (deed) => ({ deed, delivery: delivery.id }));
  if (staff) staff.append(...toMessage);
  return [
    el('p', { class: 'meaning' }, delivery.meaning),
    el(
      'div',
      { class: 'why' },
      el('p', null, delivery.rows.length > 0 ? 'This row of the clinic’s rules decided:' : 'No row of the clinic’s rules matches.'),
      ...delivery.rows.map((row) => el('pre', { class: 'rule' }, row)),
      terms.length > 0 ? el('dl', { class: 'terms' }, ...terms) : null,
    ),
    list('How the rules came to it', `trace ${delivery.id}`, [delivery.decision, ...delivery.trace].map((line) => el('li', null, line))),
    list(
      `Audit: ${delivery.audit.length} lines`,
      `audit ${delivery.id}`,
      delivery.audit.map((line) => el('li', null, el('time', { datetime: line.at }, clock(line.at)), line.what)),
    ),
    staff || (toMessage.length > 0 ? el('div', { class: 'deeds' }, ...toMessage) : null),
  ].filter((node) => node !== null);
}

function report(one) {
  const [newest, ...earlier] = one.deliveries;
  return el(
    'article',
    { class: 'report', id: one.id },
    el(
      'div',
      { class: 'report-head' },
      el('h3', null, `${one.title} of ${one.patient}`),
      newest
        ? el('span', { class: `pill ${newest.tone}`, 'data-state': newest.state }, newest.state)
        : el('span', { class: 'pill' }, 'Filed in the EHR'),
    ),
    el('p', { class: 'quiet' }, `${one.code}. The lab says: ${one.lab_says}.`),
    el('p', { class: 'shows' }, one.shows),
    ...(newest ? delivered(newest) : []),
    ...earlier.map((delivery) =>
      el(
        'details',
        { class: 'earlier', 'data-key': `earlier ${delivery.id}` },
        el('summary', null, `The delivery before: ${delivery.state.toLowerCase()}`),
        ...delivered(delivery),
      ),
    ),
    deeds('the lab', one.can, (deed) => ({ deed, report: one.id })),
  );
}

function showReports(reports) {
  byId('no-reports').hidden = reports.length > 0;
  const home = byId('reports');
  // The newest stands first; only what changed is made anew, so that what is open or focused stays.
  [...reports].reverse().forEach((one) => {
    const now = JSON.stringify(one);
    const before = shownReports.get(one.id);
    if (before && before.text === now) return;
    const node = report(one);
    if (before) {
      const open = new Set([...before.node.querySelectorAll('details[open]')].map((details) => details.dataset.key));
      node.querySelectorAll('details').forEach((details) => { details.open = open.has(details.dataset.key); });
      const pressed = before.node.contains(document.activeElement) ? document.activeElement.dataset.deed : null;
      before.node.replaceWith(node);
      if (pressed) node.querySelector(`[data-deed="${pressed}"]`)?.focus();
    } else {
      home.prepend(node);
    }
    shownReports.set(one.id, { text: now, node });
  });
}

async function look() {
  const answer = await fetch('/look', { cache: 'no-store' });
  if (!answer.ok) throw new Error('no answer');
  const seen = await answer.json();
  if (told.textContent === ENDED) tell('');
  showMessages(seen.messages);
  showReports(seen.reports);
  byId('next').textContent = seen.goes_on
    ? 'A lab files reports in a stand-in EHR; Chartseal hears of each and asks the clinic’s rules. More is on its way.'
    : 'A lab files reports in a stand-in EHR; Chartseal hears of each and asks the clinic’s rules. Now it is your turn.';
}

async function go() {
  try {
    await look();
  } catch {
    tell(ENDED);
  }
  setTimeout(go, LOOK_EVERY_MS);
}

for (const button of document.querySelectorAll('[data-sample]')) {
  button.addEventListener('click', () => act({ deed: 'file', sample: button.dataset.sample }, button));
}
go();
