// What a link asks before it opens: a question, a code, or both, one after the other. Knows words and elements, not the protocol.
//
// One field, which takes what is pasted; no time limit but the code's own; an error is told in words before the field, with the focus.

import { button, el, icon, say } from './dom.js';
import { timeHere } from './words.js';

/** The screens of a link that asks. `onAnswer(to, text)` and `onCode()` are called for what the patient does. */
export class Asking {
  constructor(screens, { onAnswer, onCode }) {
    this.screens = screens;
    this.onAnswer = onAnswer;
    this.onCode = onCode;
  }

  /** `asks` as the server says; `reply` is its answer to what was done last, or null. */
  show(asks, reply) {
    this.screens.drawn(() => this.draw(asks, reply));
  }

  draw(asks, reply) {
    if (asks.left === 0) return this.locked(asks, reply);
    if (asks.question) return this.question(asks, reply);
    if (isSent(asks.code) && !asks.code.until && !(reply && reply.said === 'wrong')) return this.offer(asks, reply);
    return this.code(asks, reply);
  }

  locked({ unlock }, reply) {
    const { screens } = this;
    const title = screens.say('locked.title');
    if (!unlock) return screens.card('lock', title, [...screens.paragraphs('locked.text', 'locked.how'), screens.call()], 'warn');
    if (unlock.until) return this.unlocking(unlock, reply);
    const told = this.told(unlock, reply, null);
    const texts = [...screens.paragraphs('locked.text'), el('p', null, screens.say(`locked.other.${unlock.by}`))];
    screens.card('lock', title, [told, ...texts, this.sendButton(), screens.call()], 'warn');
    if (told) told.focus();
    return undefined;
  }

  unlocking(unlock, reply) {
    const { screens } = this;
    const lead = screens.say(`code.sent.${unlock.by}`, { time: timeHere(unlock.until, screens.language) });
    const field = { autocomplete: 'one-time-code', inputmode: 'numeric', class: 'code' };
    const given = { to: 'unlock', label: screens.say('code.label'), hint: screens.say(`code.hint.${unlock.by}`), field };
    const again = button('quiet', screens.say('code.again'), () => this.onCode(), 'again');
    this.form('lock', screens.say('locked.title'), lead, given, unlock, reply, [again, screens.call()]);
  }

  sendButton() {
    const send = button('primary', this.screens.say('code.send'), () => {
      send.disabled = true;
      this.onCode();
    }, 'message');
    return send;
  }

  question(asks, reply) {
    const { screens } = this;
    const { question } = asks;
    const isDate = question.is !== 'own';
    const label = isDate ? screens.say(`ask.${question.is}`) : question.text;
    const hint = isDate ? screens.say('ask.date.hint') : screens.say('ask.own.hint');
    const field = { autocomplete: question.is === 'birth_date' ? 'bday' : 'off', autocapitalize: 'off' };
    this.form('lock', screens.say('ask.title'), screens.say('ask.lead'), { to: 'question', label, hint, field }, asks, reply, []);
  }

  /** Nothing is sent before it is asked for. */
  offer(asks, reply) {
    const { screens } = this;
    const told = this.told(asks, reply, null);
    const lead = el('p', { class: 'lead' }, screens.say(`code.offer.${asks.code.by}`));
    screens.card('lock', screens.say('code.title'), [told, lead, this.sendButton(), screens.call()]);
    if (told) told.focus();
  }

  code(asks, reply) {
    const { screens } = this;
    const { by, until } = asks.code;
    const lead = screens.say(until && isSent(asks.code) ? `code.sent.${by}` : `code.lead.${by}`, { time: until ? timeHere(until, screens.language) : '' });
    const field = { autocomplete: 'one-time-code', inputmode: by === 'slip' ? 'text' : 'numeric', class: 'code' };
    const more = [];
    if (isSent(asks.code)) more.push(button('quiet', screens.say('code.again'), () => this.onCode(), 'again'));
    else more.push(screens.call());
    this.form('lock', screens.say('code.title'), lead, { to: 'code', label: screens.say('code.label'), hint: screens.say(`code.hint.${by}`), field }, asks, reply, more);
  }

  form(drawing, title, lead, { to, label, hint, field }, asks, reply, more) {
    const { screens } = this;
    const input = el('input', { id: 'answer', name: 'answer', type: 'text', required: true, maxlength: '200', spellcheck: 'false', 'aria-describedby': 'answer-hint', ...field });
    const press = el('button', { type: 'submit', class: 'primary' }, el('span', null, screens.say('ask.go')));
    let told = this.told(asks, reply, input);
    const form = el('form', { novalidate: true, class: 'asking' },
      el('label', { for: 'answer' }, label),
      el('p', { class: 'small', id: 'answer-hint' }, hint),
      input,
      press);
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      if (press.disabled) return;
      if (!input.value.trim()) {
        const fresh = this.summary(screens.say('ask.empty'), input);
        if (told) told.replaceWith(fresh);
        else form.before(fresh);
        told = fresh;
        told.focus();
        return;
      }
      press.disabled = true;
      this.answered = to;
      say(screens.say('ask.checking'));
      this.onAnswer(to, input.value);
    });
    const extra = more.length > 0 ? el('div', { class: 'after' }, ...more) : null;
    screens.card(drawing, title, [el('p', { class: 'lead' }, lead), told, form, extra]);
    if (told) told.focus();
  }

  /** What came of the last answer or wish; null when nothing has to be said. */
  told(asks, reply, input) {
    const { screens } = this;
    const said = reply ? reply.said : null;
    if (said === 'wrong') return this.summary(`${screens.say('ask.wrong')} ${this.left(asks)}`, input);
    if (said === 'mistyped') return this.summary(screens.say('code.mistyped'), input);
    if (said === 'no_code') return this.summary(screens.say('code.none'), input);
    if (said === 'too_many_codes') {
      // Nothing is wrong with what stands in the field.
      return this.summary(screens.say('code.many', { time: timeHere(reply.again_at, screens.language) }), null);
    }
    if (said === 'right' && this.answered === 'unlock') return screens.calm('locked.back');
    if (said === 'sent') {
      say(screens.say('code.sent.said'));
      return null;
    }
    return null;
  }

  left(asks) {
    return this.screens.say('ask.left', { n: asks.left });
  }

  summary(text, input) {
    if (input) {
      input.setAttribute('aria-invalid', 'true');
      input.setAttribute('aria-describedby', 'answer-error answer-hint');
    }
    return el('div', { class: 'error', role: 'alert', tabindex: '-1' }, icon('alert'), el('p', { id: 'answer-error' }, text));
  }
}

function isSent(code) {
  return code.by === 'email' || code.by === 'sms';
}
