// Every word of the patient's page, by message id. Another language is another table here; a missing id falls back to English.
//
// Plain, warm, short. Never a test name, a department, a person's name: the page does not know them either.

const EN = {
  checking: 'We are checking your link.',

  'ready.title': 'You have a document',
  'ready.title.many': 'You have {n} documents',
  'ready.lead': '{clinic} has sent you a document to read. It is private: only this link opens it.',
  'ready.lead.many': '{clinic} has sent you documents to read. They are private: only this link opens them.',
  'ready.until': 'Available until {time}',
  'ready.once': 'Opens once, in this browser',
  'ready.left.one': 'Opens in one more browser',
  'ready.left': 'Opens in {n} more browsers',
  'ready.open': 'Open my document',
  'ready.open.many': 'Open my documents',
  'ready.inapp': 'You seem to be inside another app, where saving a copy may not work. To keep one, open the link in Chrome or Safari: see below.',
  'yours.title': 'Your document is still here',
  'yours.title.many': 'Your documents are still here',
  'yours.lead': 'You have already opened it in this browser. You can open it again for a short while.',
  'yours.lead.many': 'You have already opened them in this browser. You can open them again for a short while.',
  'yours.open': 'Open it again',
  'yours.open.many': 'Open them again',

  'help.how': 'How does this work?',
  'help.how.1': 'When you press the button, your document comes to this browser under lock and is unlocked here.',
  'help.how.2': 'You do not need an account or an app. You can save a copy, and then clear the document from this page.',
  'help.how.3': 'Use your own phone or computer, not a shared one.',
  'help.unexpected': 'Not expecting this?',
  'help.unexpected.1': 'You do not have to open it. Nothing happens if you leave it, and we never ask for a password or for payment.',
  'help.call': 'To be sure, call {clinic} at {phone}.',
  'help.call.nophone': 'To be sure, call {clinic} at the number you know.',
  'help.elsewhere': 'Open it in another browser?',
  'help.elsewhere.1': 'Copy the link and paste it into the other browser before you open the document here.',
  'help.elsewhere.2': 'The link is a key. Do not share it.',
  'copy.do': 'Copy the link',
  'copy.done': 'Link copied. Paste it into the address bar of the other browser.',
  'copy.failed': 'Copying did not work here. Press and hold the link in your message instead, and choose “Copy”.',

  'fetch.title': 'Opening your document',
  'fetch.ask': 'Asking for your document…',
  'fetch.part': 'Fetching… {percent} %',
  'fetch.ready': 'Getting it ready…',
  'fetch.stay': 'Please keep this page open.',
  'fetch.bar': 'How much has arrived',

  'doc.title': 'Your document',
  'doc.title.many': 'Your documents',
  'doc.nth': 'Document {n} of {of}',
  'doc.until': 'You can keep this page open until {time}.',
  'doc.ready': 'Your document is open.',
  'doc.page': 'Page {n} of {of}',
  'doc.pages.one': '1 page',
  'doc.count': '{n} documents',
  'doc.picture': 'Picture',
  'doc.text': 'Text',
  'doc.results': 'Results',
  'doc.picture.alt': 'The document, as a picture. Call {clinic} if you need it read to you.',
  'doc.page.notext': 'This page is a picture without readable text. Call {clinic} if you need it read to you.',
  'doc.page.failed': 'This page could not be shown. Save a copy to read it in another app.',
  'doc.waiting': 'No connection. We go on where we stopped.',
  'doc.missing': 'Your document is here, but the part of this page that shows it did not arrive. Check your connection and try again, or save a copy to read it in another app.',
  'doc.unshown': 'This document cannot be shown on this page. Save a copy to read it in another app.',
  'doc.tools': 'Document tools',
  'doc.save': 'Save a copy',
  'doc.save.nth': 'Save document {n}',
  'doc.saved': 'Your copy is on its way. Look in your downloads or files.',
  'doc.share': 'Not there? Save it another way',
  'doc.unsaved': 'Saving did not work in this app. You can still read the document here.',
  'doc.smaller': 'Smaller',
  'doc.larger': 'Larger',
  'doc.size': 'Size {percent} %',
  'doc.done': 'Done – clear this page',
  'done.sure': 'Clear the document from this page? Save a copy first if you want to keep it: the link may not open again.',
  'done.yes': 'Yes, clear it',
  'done.no': 'Keep reading',
  'soon.title': 'Are you still reading?',
  'soon.text': 'To keep your document private, this page clears itself at {time}.',
  'soon.stay': 'Keep it open',
  'soon.stayed': 'The page stays open until {time}.',

  'done.title': 'All clear',
  'done.text': 'The document is gone from this page. You can close it now.',
  'done.copy': 'If you saved a copy, it is in your downloads. Delete it there if others use this device.',
  'lapsed.title': 'Closed to keep it private',
  'lapsed.text': 'The time for reading ended at {time}, so we cleared the document from this page.',

  'gone.title': 'Press the link in your message again',
  'gone.text': 'This page has forgotten the key to your document, as it should. The key is in the link.',
  'gone.spent': 'Nothing is lost: opening this page did not use up your link.',
  'gone.how': 'Go back to the message from {clinic}, and press the whole link.',
  'wrong.title': 'This link is not complete',
  'wrong.text': 'Part of the link may have been lost on the way, or it is not one of ours.',
  'wrong.how': 'Go back to the message and press the link itself, or copy all of it. Nothing is lost.',
  'cookies.title': 'Your browser blocks cookies',
  'cookies.text': 'We need one small cookie to be sure that only this browser opens your document. It says nothing about you, and goes by itself after a day.',
  'cookies.how': 'Allow cookies for this site, or press the link in your message again in another browser. Nothing is lost.',
  'old.title': 'This browser cannot open it',
  'old.text': 'Your document needs a newer browser to be unlocked safely. Nothing is lost: your link still works.',
  'old.how': 'Copy the link and paste it into an up-to-date Chrome, Safari, Firefox or Edge, or use another device.',
  'foreign.title': 'Please open the link itself',
  'foreign.text': 'This page does not seem to come straight from the clinic. Something stands in between: a translator, another app, or an add-on of this browser.',
  'foreign.how': 'Press the link in your message again, or open it in another browser. Nothing is lost.',
  'large.title': 'Too large for this browser',
  'large.text': 'Your document is larger than this browser can hold and unlock.',
  'large.how': 'Please call the clinic and give the reference below. They can give it to you another way.',
  'large.spent': 'Nothing is lost: this did not use up your link.',
  'trouble.title': 'Something went wrong',
  'trouble.text': 'This browser could not get your document ready. It is not your connection, and you did nothing wrong.',
  'trouble.how': 'Try once more. If it happens again, call the clinic and give the reference below.',
  'offline.title': 'No connection',
  'offline.text': 'We could not reach the clinic’s server. Check your connection, then try again.',
  'offline.spent': 'Nothing is lost: we go on where we stopped.',
  'busy.title': 'Very busy right now',
  'busy.text': 'Please wait a minute, then try again. Nothing is lost.',
  retry: 'Try again',
  ok: 'OK',
  'damaged.title': 'The document did not arrive whole',
  'damaged.text': 'What arrived here is not exactly what the clinic sealed, so we do not show it.',
  'damaged.how': 'Try once more. If it happens again, call the clinic and give the reference below.',

  'end.expired.title': 'This link has run out',
  'end.expired.text': 'For your privacy, links work only for a limited time. This one ended on {time}.',
  'end.expired.how': 'Your clinic can send you a new one.',
  'end.revoked.title': 'The clinic has closed this link',
  'end.revoked.text': 'It was closed on {time}. Nobody can open it any more.',
  'end.revoked.how': 'Your clinic can tell you why, and send you a new link if you need one.',
  'end.recalled.title': 'The clinic took this document back',
  'end.recalled.text': 'It was taken back on {time}, often because something has to be corrected first.',
  'end.recalled.how': 'If it concerns you, the clinic will be in touch. If you have read it already, please call and ask before you act on it.',
  'end.superseded.title': 'There is a newer message',
  'end.superseded.text': 'This link was replaced on {time}.',
  'end.superseded.how': 'Look for a later message from {clinic} and use the link there.',
  'end.spent.title': 'This document has been opened',
  'end.spent.text': 'It was opened on {time}. This link does not open it again.',
  'end.spent.how': 'If that was you, look for the copy you saved. If it was not you, please call the clinic now.',
  'end.opened_elsewhere.title': 'Opened in another browser',
  'end.opened_elsewhere.text': 'The document was opened on {time}, on another device or in another browser.',
  'end.opened_elsewhere.how': 'If that was you, go back to that browser. If it was not you, please call the clinic now.',
  'end.suspended.title': 'Please wait',
  'end.suspended.text': 'The clinic is checking this document, since {time}. The link may work again later.',
  'end.suspended.how': 'Try again later, or call the clinic.',
  'end.lost.title': 'This link has stopped working',
  'end.lost.text': 'Something went wrong on our side, and it can no longer be opened. You did nothing wrong.',
  'end.lost.how': 'Your clinic can send you a new one.',
  'end.other.title': 'This link has ended',
  'end.other.text': 'It can no longer be opened.',
  'end.other.how': 'Your clinic can send you a new one.',
  'call.do': 'Call {clinic}',
  'call.know': 'Call {clinic} at the number you know.',
  'time.unknown': 'an earlier day',
  'title.of': '{title} – {clinic}',
};

const TABLES = { en: EN };

/** The function from message id and values to words, for a language tag such as `en` or `en-GB`. */
export function wordsIn(language) {
  const table = TABLES[language] || TABLES[language.split('-')[0]] || EN;
  return (id, values) => {
    const pattern = table[id] || EN[id] || '';
    return pattern.replace(/\{(\w+)\}/g, (whole, name) => (values && name in values ? String(values[name]) : whole));
  };
}

/** A day and time in the clinic's zone, with the zone's name. */
export function dayAndTime(ms, zone, language) {
  const form = { weekday: 'long', day: 'numeric', month: 'long', hour: 'numeric', minute: '2-digit', timeZoneName: 'short' };
  try {
    return new Intl.DateTimeFormat(language, { ...form, timeZone: zone }).format(ms);
  } catch (unknownZone) {
    return new Intl.DateTimeFormat(language, { ...form, timeZone: 'UTC' }).format(ms);
  }
}

/** The time of day on this device's own clock, for what ends within the hour. */
export function timeHere(ms, language) {
  const time = new Intl.DateTimeFormat(language, { hour: 'numeric', minute: '2-digit' }).format(ms);
  return time.replace(/\s/g, '\u00a0');
}
