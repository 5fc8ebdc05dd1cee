// The switch for the page's language. It changes words, and nothing else: no request but for the words themselves.

import { el, icon } from './dom.js';
import { LANGUAGES } from './words.js';

export class Tongue {
  /** `onChoose(language)` is told what was pressed. */
  constructor(onChoose) {
    this.label = el('span', { class: 'unseen' });
    this.name = el('span', { class: 'name' });
    this.choices = Object.entries(LANGUAGES).map(([language, name]) => {
      const press = () => {
        this.close();
        onChoose(language);
      };
      return el('button', { type: 'button', lang: language, translate: 'no', onclick: press }, name);
    });
    const list = el('ul', null, ...this.choices.map((choice) => el('li', null, choice)));
    this.fold = el('details', { class: 'tongue' }, el('summary', null, icon('globe'), this.label, this.name), list);
    this.fold.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || !this.fold.open) return;
      this.close();
      this.fold.firstChild.focus();
    });
    document.addEventListener('click', (event) => {
      if (!this.fold.contains(event.target)) this.close();
    });
    document.querySelector('.top').append(this.fold);
  }

  close() {
    this.fold.open = false;
  }

  /** Says which language is spoken, in that language. */
  show(language, label) {
    this.label.textContent = `${label}: `;
    this.name.textContent = LANGUAGES[language];
    for (const choice of this.choices) {
      if (choice.lang === language) choice.setAttribute('aria-current', 'true');
      else choice.removeAttribute('aria-current');
    }
  }
}
