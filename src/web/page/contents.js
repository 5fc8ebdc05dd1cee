// What came sealed beside the documents: what each is called, and what the clinic says of them.

import { el } from './dom.js';

/** The type of the sealed file that holds it. */
export const CONTENTS = 'application/vnd.chartseal.contents+json';

/** `{titles, notes}`: titles by the number of a document, notes as texts. Throws where it is none of ours. */
export function readContents(bytes) {
  const { titles, notes } = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  if (!Array.isArray(notes) || typeof titles !== 'object') throw new TypeError('contents');
  return { titles, notes: notes.map(String) };
}

/** What the clinic says, above the documents; null where it says nothing. */
export function notesOf(reading, contents) {
  if (!contents || contents.notes.length === 0) return null;
  const { screens } = reading;
  const title = reading.told(() => screens.say('note.title'), el('h2'));
  return el('section', { class: 'clinic-note' }, title, ...contents.notes.map((note) => el('p', { dir: 'auto' }, note)));
}

/** What document `n` is called by whoever wrote it; null where nobody said. */
export function titleOf(contents, n) {
  const title = contents && contents.titles[n];
  return title ? String(title) : null;
}
