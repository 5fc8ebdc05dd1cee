//! Chartseal: the map of the house.
//!
//! A clinic's EHR says that a report became final. Chartseal reads it again, decides by the clinic's own rules how it
//! may leave, seals the attachment and sends the patient a link that ends.
//!
//! # The way of a report
//!
//! 1. [`intake`] hears: a hook's bytes are committed, sealed, then acknowledged; or a poll finds what changed. Either way
//!    a resource becomes due.
//! 2. [`resolve`] reads: under a lease per resource, report and patient come from the EHR again, and what the rules in force
//!    look at beside them (members, order, encounter, ...). [`policy`] decides. In one transaction, which sees that those rules
//!    are still in force, there is a delivery, a recall, a replacement, or nothing. A report without an attachment is read with its
//!    results, of which [`fhir`] makes a [`paper`], or says why not.
//! 3. [`release`] seals: the attachment is fetched (or the paper written), judged, sealed by [`sealing`], stored by [`blobs`]; link and notice are
//!    committed together. What strangers wrote is read in a process of its own ([`cell`], [`foreign`]): [`whose`] compares what it says
//!    with the patient, and RTF, HTML and CDA are carried over into a [`paper`].
//! 4. [`outbox`] hands over: due notices are leased, sent by [`notify`], settled. The first attempt fixes when the link ends. What mail
//!    systems report of a message afterwards it hears too, by the token in the message's return path.
//! 5. [`open`] lets in: the patient's page proves the key, answers what the link asks, claims an opening, fetches, decrypts in the browser, confirms.
//!    Where the rules offer it, the opened page gives a health app a way to the same document, which [`release`] encrypted for it, for as long
//!    as the link lives.
//! 6. [`sweep`] ends: leases, lives, files, keys, retention; it anchors the audit, and has whoever did not open reminded, or called.
//! 7. [`desk`] is the staff's side: look, release, revoke, send again, pause, restore. What two people said of many deliveries
//!    goes on by itself when the command that began it died.
//!
//! **Steps never call steps; they meet in the [`store`].** Each ends in one commit: state change + audit line + the next
//! step's row. Any process can take the next step; one that dies between two lines loses nothing.
//!
//! [`sign_in`] keeps the key pairs by which all replicas show an EHR who we are, and publishes their public halves; [`fhir`]
//! signs assertions with them and holds the token that they bring.
//!
//! Whether the way from an EHR works, `chartseal doctor` says: [`fhir`] asks in ways in which the answers must differ
//! (`fhir::probe`), [`intake`] makes findings of them, each fault with its remedy (`intake::examine`). Only its trial, which a person
//! asks for, and [`write_back`], where the clinic wants it, write more to an EHR than Subscriptions.
//!
//! [`write_back`] tells an EHR what became of its reports (a message, a disclosure, a task for staff) from an outbox of its own,
//! whose rows the [`store`] writes with the change that they tell of. Nothing waits for it.
//!
//! # The way of a rule
//!
//! 1. An author writes TOML; [`policy`] reads it whole or not at all (`policy::read`), looks at it a second time
//!    (`policy::lint`), runs its tests (`policy::cases`) and compiles it: four layers (classify, profile, restrict, laws) become
//!    one table of bit sets (`policy::table`), which a property test holds to the plain meaning of each condition
//!    (`policy::probe`).
//! 2. [`fhir`] gathers facts, each known, absent or lacking; `policy::judge` joins the rows that hold, the strictest value of
//!    each column wins; a lacking fact that could tighten makes a review; `policy::schedule` sets the moment between a law's
//!    floor and ceiling; `policy::trace` says why.
//! 3. [`desk`] keeps versions: one person proposes, another approves what they were shown, from an instant on; [`resolve`]
//!    decides again what is on its way: tighter by itself, looser by a person's word.
//!
//! # Layers
//!
//! | layer | rooms | may import |
//! |---|---|---|
//! | 0 | [`base`] | crates |
//! | 1, pure | [`policy`], [`sealing`], [`signing`], [`paper`], [`whose`]; [`record`] (knows policy); [`audit`] (knows record); [`foreign`] (knows paper) | 0 |
//! | 2, adapters | [`store`], [`fhir`], [`blobs`], [`keys`], [`notify`], [`cell`], [`scan`] | 0, 1; not each other |
//! | 3, flows | [`intake`], [`resolve`], [`release`], [`outbox`], [`open`], [`desk`], [`sweep`], [`sign_in`], [`write_back`] | 0 to 2; not each other |
//! | 4, edge | [`web`] | 0, 1, 3; never the store |
//! | 5 | [`config`], [`app`], the only wiring | all below |
//! | 6 | [`demo`]: the whole service with stand-ins around it, for a newcomer | all below |
//! | 7 | [`cli`]: `serve` and `demo` are commands, so the commands stand above the wiring | all below |
//!
//! `tests/it/tidy.rs` reads the source and holds this table.
//!
//! # What must stay true
//!
//! - `policy` and `record` do no I/O and read no clock. Only `store` knows SQL, only `fhir` knows FHIR, only `web` knows HTTP.
//!   (`demo` stands in for what is outside: the other end of FHIR, HTTP and SMTP. Nothing but `cli` knows `demo`.)
//! - No plaintext of a report is ever written to disk, database or log. Nothing on the server can make it again once a
//!   link's message was handed over: the content key needs the link's secret, which only the message carries; and until somebody
//!   opened it the server, where the rules say `custody = "until_opened"`.
//! - Only [`store::advance`] changes a delivery's state. It takes a [`record::Step`], which only the step tables make, and
//!   writes the audit line. A link's death reaches the death journal before its transaction commits.
//! - What happens at most once is one guarded statement in the database.
//! - Without the proof of the key nothing is counted, sent or revealed, and known, unknown and malformed links answer alike.
//! - Patient data is in no log, URL, metric, subject, message text or error.
//!
//! # Where this departs from the first plan, and why
//!
//! - **The auth key of a dead link is kept** (sealed) until its tombstone's retention ends, and only then wiped. Wiping it
//!   at death would make the tombstone unreadable to the patient who holds the link. It opens nothing: the content key is
//!   derived apart from it and needs the share, which *is* destroyed at death.
//! - **The last allowed claim is journalled as a death when it is made**, before the share is given out. A database
//!   restored to a moment before the claim would otherwise give a one-time document a second time.
//! - **After a restore, whatever was issued before it goes to review.** What was sent between the backup and the restore
//!   cannot be known from the database, and a person should rather look than a patient get a second message.
//! - **The share is wrapped under the epoch key of the last day on which the link can live** (the longest wait for
//!   hand-over, the rule's life, the longest lease), since its end is fixed only at the first attempt.
//! - **Anchors cover audit lines by their store-wide numbers**, one digest a minute, rather than a list of chain heads:
//!   a chain's head is among the lines, and the file stays small. A number is anchored one interval after it was seen,
//!   because in PostgreSQL a lower number may commit later.
//! - **A correction behind the same address is read again and compared.** Where the EHR declares no digest, a second
//!   correction in the same status would otherwise be silent. Only a keyed hash of the sealed file is kept for it.
//! - **A link whose epoch key was lost says that it ended**, not "come later": nobody can make that key again. Nothing is
//!   spent, and the link works again should the key be put back.
//! - **What an EHR says of a report of which a link is out is looked into before whatever waits**: the door looks up what a call names
//!   (its path, or a small body) while it keeps it. A recall that came in the middle of 5,000 other calls had waited 18 seconds.
//! - **A new link that its holder asks for needs no code first**: it goes to the address of the record, so that whoever reads it
//!   there shows what a code to that address would have shown. Once for each link, and only where the rules say `reissue = "self"`.
//! - **Releases, polls and readings are held under a lease of two minutes that is renewed while the work goes on**, rather
//!   than one as long as the longest download: what a dead process held is soon taken up. A replica that starts again
//!   gives back at once what its former self held: the journal's lock says that nobody else bears its name.
//! - **Each EHR has workers of its own in resolve and release**, and all have equally many (`app/steps/workers.rs`): one that
//!   hangs holds up no other's reports. What asks no EHR (a hold that ends, a decision made again) has a worker beside them,
//!   which looks for all and calls those who have work: the others cost nothing.
//! - **The program overwrites what it frees** (`main.rs`): a core dump would otherwise show reports and links that were
//!   handed over long ago. A vector that grows pays for it with a copy.
//! - **Inserts and updates are prepared once and kept by their text** (`store/prepared.rs`), which diesel does not do, and
//!   SQLite is built with its planner stability guarantee (`.cargo/config.toml`): without either, reading the text of
//!   statements took more time than making the changes.
//! - **What is on its way is decided again when the EHR changes what the rules look at**, its address, or adds a modifier, though
//!   the content stays; it then waits for a person. What has ended, or waits for a person, is not read again by itself.
//! - **The receipt is posted when the patient has seen or saved the document**, not when it was decrypted: what could not be
//!   shown would otherwise have been spent unread. The lease ends the opening with or without it.
//! - **Text is looked at when the facts are made, and only which patterns matched is kept**, by a hash of each pattern: stored
//!   facts hold no text, and other rules know of a pattern that was never tried that it is unknown.
//! - **Quiet hours hold back the release, not the message**: nothing is fetched or sealed for a message that may not leave. The
//!   hours go with the decision, so that whoever releases needs no rules. A message that they catch before it was handed over is
//!   made again when they end; the secret of none waits for a night.
//! - **A law's floor is a moment of the schedule, not a state**: a release before it leads to a hold until then, whoever says it;
//!   who may waive it is the law's word.
//! - **A profile's `code` is the report's own, `holds` and `set` look everywhere**: sending by what a report is, guarding by what
//!   it holds.
//! - **Reports that share a link keep a delivery, a state and a file each** (`record::shared`, `store::deliveries::shared`): what
//!   ends the link for one report's sake lets the others leave again, and a recall finds its link by its own report. The link is
//!   refused while any of them is suspended.
//! - **One document under several names is found by keyed marks** (`store::documents`, `resolve::document`): the patient is part of
//!   each, so that no two patients' documents are ever one. The second name gets no delivery of its own, only its word: what the
//!   rules say of it tightens the first's link, and what the EHR takes back under it refuses that. A name of which no rule speaks
//!   says nothing.
//! - **Names that say different things by now are two documents**: neither ends the other's link, since "the result follows" may
//!   have been the first file of both. What belongs to a report (`context.related`) is it only where their bytes are one.
//! - **A replaced document reads as superseded** from the moment at which its replacement was read, though the EHR left it current.
//!   While nobody can say whether the replacement is finished it reads as unfinished: refused, and given back if staff put that aside.
//! - **A delivery goes to the record that stood for the patient when it was decided**; another one, by a merge or its undoing,
//!   refuses the link, and only a person's release follows it.
//! - **What the EHR says of a report that is out is urgent**: it has a worker of its own for each EHR. What is only looked at again is
//!   urgent once it waited two minutes; half of what is taken up are the newest, so that a recall never stands behind a heap of that.
//! - **What was heard of and could never be read comes to a person after a day**, though the EHR's trouble may pass: a finding that
//!   nobody could read is one that nobody saw. It is asked for on and on, and leaves by itself when it is shown.
//! - **A guardian's address in a minor's record is decided as a proxy's**, and is a review where no rule speaks of proxies. Who pays
//!   for the patient counts as one who stands by them. Addresses are compared as mailboxes (no `+tag`, Google's without dots):
//!   taking two for one asks for more care, never for less. What is recorded of an address is recorded of its very spelling.
//! - **A report is followed once for each recipient** (`record::Addressee`, `resolve::recipient`): a row of its own in the store, read, decided,
//!   recalled and corrected by itself, so that nothing that holds for one link has a second form for several. The EHR is asked once more
//!   for each of them, which few reports have. The patient's chain takes the others up, and only with something new to say.
//! - **Nobody else is stored**: a further recipient is a keyed hash, and each reading finds anew, among those whom the EHR names, who it
//!   is. So whoever it names no more gets nothing more, and what they have is refused until it does: an EHR that forgets somebody for a moment
//!   takes nothing from them.
//! - **A provider's address must be confirmed by a person**, a patient's need not: a patient whose letter went astray asks for it, and
//!   a provider does not know that there was one.
//! - **What is recorded of an address is one clinic's word about one patient's address** (`store::contacts`): bounced or disputed,
//!   nothing goes there, whatever the rules say; facts keep the date of a confirmation, so that it ages with the report that waits.
//! - **A report for which the EHR was too slow is read twice more** before a fact counts as unknown and a person must look.
//! - **What a rule asks and this version does not offer** (a retention of its own, ...) makes a review: never sent
//!   without it.
//! - **A document that may not be saved is shown by the same page** (`web/page/viewing.js`): it withholds what a browser offers by itself, and the rules
//!   say no more than that. Who would photograph the screen cannot be hindered; telling the patient before they open it can be done.
//! - **Mails to staff have an outbox of their own** (`store::staff_mails`): a patient's message is held to the life of its link, to quiet hours, limits and
//!   bounces, and none of that is true of them. They say which delivery, and staff look it up.
//! - **The channel is chosen with the decision** (`resolve/pick.rs`): the rules are asked about each address by which somebody can be reached,
//!   for what is recorded of it, and whose it is, is part of what they answer. The first that nothing is held against wins.
//! - **A text of unknown fate is never sent again by itself**: no gateway promises to tell two orders for one message from one. Its own report,
//!   or a look at the gateway's list, settles it; a mail is sent again, for its copies are one message to whoever gets them.
//! - **A number's STOP is the number's**: kept by its keyed index alone, for every clinic and patient, and ended by its holder alone.
//! - **A pair that signs no more stays ready for a week**: an EHR that answers `invalid_client` is asked once more with it, since it
//!   may not have read our JWK Set again.
//! - **A token endpoint at another origin must be configured**: the EHR's own word for it could lead a client secret anywhere.
//! - **The numbers of a topic's events decide only whether to search** (`intake/count.rs`): each event is heard whatever its number,
//!   and a doubt costs a search, never a report.
//! - **What Chartseal writes itself is HTML, and the page shows it** (`paper`, `web/page/paper.js`), although no HTML of anybody
//!   else's is: a patient's phone lays it out, reads it aloud with its tables, enlarges and prints it; a tagged PDF would be
//!   drawn there as pictures of a sheet of paper, and needs a font for every script. The page reads only the elements of our
//!   own template, and makes them anew; nothing that was sent can be of this type, for [`fhir::sniff`] knows none. RTF, HTML and
//!   CDA become such a paper for the same reasons, although the first plan said PDF: word for word, or a person looks.
//! - **Strangers' documents are read by this program started again** ([`cell`]), not by a sandbox beside it: nothing else must be
//!   installed, and both are of one version. Where `chartseal-reader` lies beside it, that is started: the same code without `libpq` and
//!   the two dozen libraries behind it, whose linking was nine tenths of the time for a report. It is confined by a list of system calls (no file, socket or program can be opened at
//!   all), which leaves Landlock nothing to forbid. No pool of such processes: one that read a document is never given another.
//! - **Of kept events half of what is looked into are the newest** (`store::events`), many at once: a recall that was just told never
//!   stands behind a burst of what was told before it.
//! - **A malware scanner's finding ends nothing by a person's word** ([`scan`]): a release has the attachment scanned again. What nobody
//!   scanned leaves only where the clinic says so, and the audit tells of each.
//! - **A person who lets a doubted paper go says so of its bytes** (`store::papers`): a keyed hash of them stands with the word, and another
//!   file behind the same address is doubted anew. A PDF that cannot be read is no doubt, for the browser may show it and a scan says no
//!   more; a reader that dies or hangs is tried again, and then a person looks.
//! - **A report without an attachment costs a reading for each of its results, each time that it is read**, also every
//!   `recheck_minutes` while its link is out: EHRs tell nobody that a result was taken back.
//! - **The content hash of such a report is keyed**: it covers a few numbers, which could be guessed from a bare hash. What it was
//!   made of is bound apart (`store::papers`), so that a result that only got a new version is looked at again before it leaves,
//!   and no patient hears of it twice.
//! - **Of an interpretation only HL7's own codes are put into words of ours**; anything else is shown as it was written ("R" is resistant
//!   to one laboratory and reactive to another), and what a laboratory says beside its code stands behind it.
//! - **A search is heard page by page** (`intake/hearing.rs`): however much an EHR shows, one page is held; what a walk found stands
//!   though it fails later, and only a whole one moves the watermark.
//! - **What only a backfill found is decided in mode shadow**, whatever its age: it is on record, nobody must look at each, and it
//!   leaves by a person's word. The mark goes when the EHR speaks of a change itself.
//! - **Of a history only the deletes are taken** (`fhir/search`): the newest version of what lives is found by a search, and needs no
//!   reading for each older one.
//! - **What an EHR is told is created and not updated**, under an identifier of its own and `If-None-Exist`: a lost answer costs
//!   nothing. Two changes are made to what stands there already, each under `If-Match`: when a message was first opened
//!   (FHIR has one place for it, in the Communication), and the end of a Task of which nothing is left to do.
//! - **The message is told as a Communication, the disclosure as an `AuditEvent` when the link is opened**: the message names the
//!   clinic alone. An `AuditEvent` and a `Provenance` have no identifier in R4, so they bear theirs as a tag.
//! - **A mark on what we wrote hides nothing**: intake looks at no tag. We never write what we listen to, so no write comes back
//!   as an event; and a stranger who adds the mark to a report would otherwise keep it from being heard.
//! - **A Task completed at the EHR is the record of a talk only where the clinic says so** (`completed_talk = "counts"`), by a
//!   practitioner, while it is the Task that was written. Nothing else that happens to a Task moves a delivery.
//! - **A report that a message came back is believed by its token alone** (`keys::Vault::token_of_notice`): keyed, of that one message, and
//!   stored nowhere. No mailbox is fetched from: a mail system pipes it, keeps it in a Maildir, or posts it signed.
//! - **A clinic's message is one plain text with few placeholders** (`notify::messages`), of which the HTML is made: what must be in it can
//!   be judged when the configuration is read, and no template can lose its link or write markup.
//! - **The page's words are data** (`web/page/words/`), a file for each language: the server sets the few that are needed without
//!   JavaScript into the page, and the page fetches the one that it speaks.
//! - **The witness of deaths is called inside the transaction**, so that no code path can end a link unjournalled.
//!   SQLite's writer batches: one fsync of the journal for a whole batch.

pub mod base;
pub mod fhir;
pub mod foreign;
pub mod paper;
pub mod policy;
pub mod record;
pub mod sealing;
pub mod signing;
pub mod whose;

// The fuzz targets (`fuzz/`) enter none of these: left out, their build takes seconds.
#[cfg(not(fuzzing))]
pub mod app;
#[cfg(not(fuzzing))]
pub mod audit;
#[cfg(not(fuzzing))]
pub mod blobs;
#[cfg(not(fuzzing))]
pub mod cell;
#[cfg(not(fuzzing))]
pub mod cli;
#[cfg(not(fuzzing))]
pub mod config;
#[cfg(not(fuzzing))]
pub mod demo;
#[cfg(not(fuzzing))]
pub mod desk;
#[cfg(not(fuzzing))]
pub mod intake;
#[cfg(not(fuzzing))]
pub mod keys;
#[cfg(not(fuzzing))]
pub mod notify;
#[cfg(not(fuzzing))]
pub mod open;
#[cfg(not(fuzzing))]
pub mod outbox;
#[cfg(not(fuzzing))]
pub mod release;
#[cfg(not(fuzzing))]
pub mod resolve;
#[cfg(not(fuzzing))]
pub mod scan;
#[cfg(not(fuzzing))]
pub mod sign_in;
#[cfg(not(fuzzing))]
pub mod store;
#[cfg(not(fuzzing))]
pub mod sweep;
#[cfg(not(fuzzing))]
pub mod web;
#[cfg(not(fuzzing))]
pub mod write_back;
