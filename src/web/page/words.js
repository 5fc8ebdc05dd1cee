// The words of the patient's page. Every language is a file of its own in words/, and only the one that is spoken is fetched.
//
// Plain, warm, short. Never a test name, a department, a person's name: the page does not know them either.

import { PAUSES_MS, Refusal, fetchWhole, pause } from './server.js';

/** What each language calls itself. */
export const LANGUAGES = { en: 'English', es: 'Español', pl: 'Polski', de: 'Deutsch', fr: 'Français' };

const fetched = {};

/**
 * Everything said in one language: `words(id, values)`, its `tag` for dates, and `language`. For a tag such as `en` or `en-GB`;
 * one that is none of ours is English.
 */
export async function speechIn(tag) {
  const primary = tag.split('-')[0];
  const language = LANGUAGES[primary] ? primary : 'en';
  if (!fetched[language]) fetched[language] = await fetchTable(language);
  const local = withRegion(language, tag);
  return { language, tag: local, words: wordsOf(fetched[language], local) };
}

async function fetchTable(language) {
  const address = new URL(`./words/${language}.json`, import.meta.url).href;
  for (let turn = 0; ; turn += 1) {
    try {
      return JSON.parse(new TextDecoder().decode(await fetchWhole(address)));
    } catch (cut) {
      if (!(cut instanceof Refusal) || turn === PAUSES_MS.length) throw cut;
    }
    await pause(PAUSES_MS[turn]);
  }
}

// How dates are written differs within a language: the clinic's own region, else the browser's.
function withRegion(language, tag) {
  const known = [tag, ...(navigator.languages || [])];
  return known.find((one) => one.split('-')[0] === language && one.length > language.length) || language;
}

// A word that depends on a number has a form for each of its language's plurals (CLDR); `{n}` says which.
function wordsOf(table, tag) {
  const plural = new Intl.PluralRules(tag);
  const number = new Intl.NumberFormat(tag);
  const percent = new Intl.NumberFormat(tag, { style: 'percent' });
  const shown = (name, value) => {
    if (typeof value !== 'number') return String(value);
    return name === 'percent' ? percent.format(value / 100) : number.format(value);
  };
  return (id, values) => {
    const forms = table[id] || '';
    const pattern = typeof forms === 'string' ? forms : forms[plural.select(values.n)] || forms.other;
    return pattern.replace(/\{(\w+)\}/g, (whole, name) => (values && name in values ? shown(name, values[name]) : whole));
  };
}

/** A day and time in the clinic's zone, with the zone's name. */
export function dayAndTime(ms, zone, tag) {
  const form = { weekday: 'long', day: 'numeric', month: 'long', hour: 'numeric', minute: '2-digit', timeZoneName: 'short' };
  try {
    return new Intl.DateTimeFormat(tag, { ...form, timeZone: zone }).format(ms);
  } catch (unknownZone) {
    return new Intl.DateTimeFormat(tag, { ...form, timeZone: 'UTC' }).format(ms);
  }
}

/** The time of day on this device's own clock, for what ends within the hour. */
export function timeHere(ms, tag) {
  const time = new Intl.DateTimeFormat(tag, { hour: 'numeric', minute: '2-digit' }).format(ms);
  return time.replace(/\s/g, '\u00a0');
}
