// One card for every state in which no document is on the page. Knows words and elements, not the protocol.

import { button, el, icon, say, telephone } from './dom.js';
import { dayAndTime, timeHere } from './words.js';

// What stands before the title, and whether it worries.
const ENDED = {
  expired: 'clock', revoked: 'lock', recalled: 'alert', superseded: 'message',
  spent: 'check', disowned: 'check', opened_elsewhere: 'device', suspended: 'clock', lost: 'alert',
};

// Browsers built into other apps often swallow downloads without a word. Only ever a hint: nothing is refused for it.
function insideApp() {
  const agent = navigator.userAgent;
  return /; wv\)|FBA[NV]|Instagram|\bLine\//.test(agent) || (/iPhone|iPad/.test(agent) && !/Safari\//.test(agent));
}

/** `facts` is what is known of the clinic: `{name, phone, reference, zone}`. */
export class Screens {
  constructor(facts) {
    this.facts = facts;
    this.main = document.getElementById('main');
    // Draws what is on the page once more.
    this.again = null;
  }

  /** From now on, and what is on the page already, in this language. */
  speak(speech) {
    this.words = speech.words;
    this.language = speech.tag;
    if (this.again) this.again();
  }

  say(id, values) {
    const { name, phone, reference } = this.facts;
    return this.words(id, { clinic: name || this.words('house'), phone, reference, ...values });
  }

  time(ms) {
    return typeof ms === 'number' ? dayAndTime(ms, this.facts.zone || 'UTC', this.language) : this.say('time.unknown');
  }

  /** Replaces the page's content and moves the focus to the new heading. */
  show(heading, children, layout) {
    this.again = this.drawing;
    document.body.className = layout || '';
    this.main.textContent = '';
    this.main.append(...children);
    document.title = this.say('title.of', { title: heading.textContent });
    heading.tabIndex = -1;
    window.scrollTo(0, 0);
    heading.focus({ preventScroll: true });
  }

  card(drawing, title, parts, tone) {
    const heading = el('h1', null, title);
    say('');
    const badge = el('div', { class: `badge ${tone || ''}` }, icon(drawing));
    this.show(heading, [el('section', { class: 'card' }, badge, heading, ...parts)]);
    return heading;
  }

  /** Draws a screen that somebody else knows how to draw. */
  drawn(draw) {
    draw();
  }

  /** Words in which the value called `name` is an element. */
  sayWith(id, name, node) {
    const [before, after] = this.say(id, { [name]: '\u0000' }).split('\u0000');
    return el('p', null, before, node, after || '');
  }

  paragraphs(...ids) {
    return ids.map((id) => el('p', null, this.say(id)));
  }

  call() {
    const { phone } = this.facts;
    const how = phone
      ? el('a', { class: 'button quiet', href: telephone(phone) }, icon('phone'), el('span', null, `${this.say('call.do')} `, el('span', { class: 'number' }, phone)))
      : el('p', null, this.say('call.know'));
    return el('div', { class: 'call' }, how);
  }

  checking() {
    const text = el('p', null, this.say('checking'));
    this.again = this.drawing;
    this.main.textContent = '';
    this.main.append(el('section', { class: 'card waiting' }, el('div', { class: 'turning' }), text));
    say(this.say('checking'));
  }

  landing(look, { onOpen, onCopy, onDisown }) {
    const yours = look.state === 'yours';
    const word = (part) => this.say(`${yours ? 'yours' : 'ready'}.${part}`, { n: look.files });
    const opening = word('open');
    const facts = el('ul', { class: 'facts' });
    const fact = (drawing, text) => facts.append(el('li', null, icon(drawing), el('span', null, text)));
    if (!yours || look.expires_at) fact('clock', this.say('ready.until', { time: this.time(look.expires_at) }));
    if (!yours) fact('lock', this.opensLeft(look));
    if (!yours && look.view_seconds) fact('clock', this.say('ready.view', { n: Math.floor(look.view_seconds / 60) }));
    if (look.download !== 'allowed') fact('document', this.say('ready.kept'));
    const open = button('primary', opening, () => {
      open.disabled = true;
      onOpen();
    });
    this.card('document', word('title'), [
      el('p', { class: 'lead' }, word('lead')),
      facts,
      insideApp() ? el('p', { class: 'calm' }, icon('device'), el('span', null, this.say('ready.inapp'))) : null,
      open,
      this.help(look, onCopy, onDisown),
    ]);
  }

  opensLeft(look) {
    if (look.opens_max === 1) return this.say('ready.once');
    return this.say('ready.left', { n: look.opens_left });
  }

  help(look, onCopy, onDisown) {
    const second = look.download === 'allowed' ? 'help.how.2' : 'help.how.2.kept';
    const fold = (id, ...parts) => el('details', null, el('summary', null, this.say(id)), el('div', null, ...parts));
    const { phone } = this.facts;
    const call = phone
      ? this.sayWith('help.call', 'phone', el('a', { href: telephone(phone), class: 'number' }, phone))
      : el('p', null, this.say('help.call.nophone'));
    return el('div', { class: 'help' },
      fold('help.how', ...this.paragraphs('help.how.1', second, 'help.how.3')),
      fold('help.unexpected', el('p', null, this.say('help.unexpected.1')), call, button('quiet', this.say('disown.do'), onDisown)),
      fold('help.elsewhere', ...this.paragraphs('help.elsewhere.1', 'help.elsewhere.2'), this.copy(onCopy)));
  }

  copy(onCopy) {
    const note = el('p', { class: 'small' });
    const press = button('quiet', this.say('copy.do'), async () => {
      const done = this.say((await onCopy()) ? 'copy.done' : 'copy.failed');
      note.textContent = done;
      say(done);
    });
    return el('div', null, press, note);
  }

  /** The progress card; returns what moves it: `part(0..1)` and `ready()`. */
  fetching() {
    let line = () => this.say('fetch.ask');
    const text = el('p', { class: 'lead' });
    const fill = el('div', { class: 'fill' });
    const bar = el('div', { class: 'bar', role: 'progressbar', 'aria-valuemin': '0', 'aria-valuemax': '100', 'aria-valuenow': '0' }, fill);
    const draw = () => {
      text.textContent = line();
      bar.setAttribute('aria-label', this.say('fetch.bar'));
      this.card('document', this.say('fetch.title'), [text, bar, el('p', { class: 'small' }, this.say('fetch.stay'))]);
      this.again = draw;
    };
    draw();
    let [shown, spoken] = [-1, 0];
    return {
      part: (share) => {
        const percent = Math.min(100, Math.floor(share * 100));
        if (percent === shown) return;
        shown = percent;
        line = () => this.say('fetch.part', { percent });
        text.textContent = line();
        fill.style.transform = `scaleX(${share})`;
        bar.setAttribute('aria-valuenow', String(percent));
        if (percent - spoken < 25) return;
        spoken = percent;
        say(line());
      },
      ready: () => {
        line = () => this.say('fetch.ready');
        text.textContent = line();
        say(line());
      },
    };
  }

  gone() {
    this.card('message', this.say('gone.title'), [...this.paragraphs('gone.text', 'gone.how'), this.calm('gone.spent')]);
  }

  wrong() {
    this.card('message', this.say('wrong.title'), [...this.paragraphs('wrong.text', 'wrong.how'), this.call()]);
  }

  cookies(onRetry) {
    this.card('lock', this.say('cookies.title'), [...this.paragraphs('cookies.text', 'cookies.how'), button('primary', this.say('retry'), onRetry, 'again')]);
  }

  old(onCopy) {
    this.card('device', this.say('old.title'), [...this.paragraphs('old.text', 'old.how'), onCopy ? this.copy(onCopy) : null, this.call()]);
  }

  foreign() {
    this.card('device', this.say('foreign.title'), [...this.paragraphs('foreign.text', 'foreign.how'), this.call()]);
  }

  large() {
    this.card('document', this.say('large.title'), [...this.paragraphs('large.text', 'large.how'), this.calm('large.spent'), this.call()]);
  }

  trouble(onRetry) {
    this.card('alert', this.say('trouble.title'), [...this.paragraphs('trouble.text', 'trouble.how'), button('primary', this.say('retry'), onRetry, 'again'), this.call()]);
  }

  offline(onRetry) {
    this.card('alert', this.say('offline.title'), [el('p', null, this.say('offline.text')), this.calm('offline.spent'), button('primary', this.say('retry'), onRetry, 'again')]);
  }

  busy(onRetry) {
    this.card('clock', this.say('busy.title'), [el('p', null, this.say('busy.text')), button('primary', this.say('retry'), onRetry, 'again')]);
  }

  damaged(onRetry) {
    this.card('alert', this.say('damaged.title'), [...this.paragraphs('damaged.text', 'damaged.how'), button('primary', this.say('retry'), onRetry, 'again'), this.call()], 'warn');
  }

  done(download) {
    this.card('check', this.say('done.title'), this.paragraphs(...(download === 'allowed' ? ['done.text', 'done.copy'] : ['done.text'])));
  }

  lapsed(until, download) {
    const text = el('p', null, this.say('lapsed.text', { time: timeHere(until, this.language) }));
    const copy = download === 'allowed' ? el('p', null, this.say('done.copy')) : null;
    this.card('clock', this.say('lapsed.title'), [text, copy, this.call()]);
  }

  /** Asks once more before the link is closed. */
  disown({ onYes, onNo }) {
    const box = el('input', { type: 'checkbox', id: 'sure', 'aria-describedby': 'sure-missing' });
    const missing = el('div', { class: 'error', hidden: true }, icon('alert'), el('p', { id: 'sure-missing' }, this.say('disown.tick')));
    const yes = button('primary', this.say('disown.yes'), () => {
      if (!box.checked) {
        missing.hidden = false;
        say(this.say('disown.tick'));
        box.focus();
        return;
      }
      yes.disabled = true;
      onYes();
    });
    const choice = el('label', { class: 'choice', for: 'sure' }, box, el('span', null, this.say('disown.sure')));
    this.card('alert', this.say('disown.title'), [...this.paragraphs('disown.text', 'disown.what'), choice, missing, yes, button('quiet', this.say('disown.no'), onNo)]);
  }

  ended(tombstone, onAnother) {
    const known = Object.prototype.hasOwnProperty.call(ENDED, tombstone.kind);
    const kind = known ? tombstone.kind : 'other';
    const text = el('p', null, this.say(`end.${kind}.text`, { time: this.time(tombstone.at) }));
    const tone = kind === 'recalled' || kind === 'opened_elsewhere' ? 'warn' : 'ended';
    const parts = [text, el('p', null, this.say(`end.${kind}.how`)), this.another(tombstone, onAnother), this.call()];
    this.card(known ? ENDED[kind] : 'clock', this.say(`end.${kind}.title`), parts, tone);
  }

  another(tombstone, onAnother) {
    if (tombstone.another === 'asked') return this.calm('another.asked');
    if (tombstone.another !== 'offered' || !onAnother) return null;
    const ask = button('primary', this.say('another.do'), () => {
      ask.disabled = true;
      onAnother();
    }, 'message');
    return ask;
  }

  calm(id) {
    return el('p', { class: 'calm' }, icon('check'), el('span', null, this.say(id)));
  }
}

// Each screen is drawn again by the call that drew it, whichever it was, when the language changes.
for (const name of Object.getOwnPropertyNames(Screens.prototype)) {
  if (name === 'constructor' || name === 'speak') continue;
  const draw = Screens.prototype[name];
  Screens.prototype[name] = function recorded(...given) {
    if (this.drawing) return draw.apply(this, given);
    this.drawing = () => this[name](...given);
    try {
      return draw.apply(this, given);
    } finally {
      this.drawing = null;
    }
  };
}
