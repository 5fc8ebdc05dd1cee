//! All SQL, on SQLite and PostgreSQL.
//!
//! Job: keep what the steps agree on. One closure given to [`Store::write`] is one transaction: a state
//! change, its audit line and the next step's row. What happens at most once is one guarded statement.
//! Must stay true: [`advance`] is the only writer of a delivery's state, and it writes the audit line; a
//! link's death reaches the death witness before its transaction commits; "the database cannot be
//! reached" is never "not found".
//! Must not know: FHIR, HTTP, mail, keys, or what sealed columns hold.

mod audit_log;
mod backup;
mod challenges;
mod conn;
mod contacts;
mod control;
mod deliveries;
mod dialect;
mod documents;
mod due;
mod error;
mod events;
mod families;
mod health_links;
mod hearing;
mod incidents;
mod lease;
mod links;
mod looks;
mod migrations;
mod notices;
mod openings;
mod operators;
mod opt_outs;
mod panel;
mod papers;
mod past;
mod patients;
mod polls;
mod preferences;
mod prepared;
mod redecisions;
mod reminders;
mod rows;
mod schema;
mod sent_lately;
mod signing_keys;
mod slips;
mod sources;
mod staff;
mod staff_mails;
mod topics;
mod versions;
mod wishes;
mod write_backs;
mod writer;

pub use audit_log::{
    Anchorable, append, chain_lines, chain_names, export_after, highest_n, lines_between, newest_n, record,
    remove_lines_before,
};
pub use backup::{BackupError, backup};
pub use challenges::{
    AskedRow, Attempt, ChallengeRow, LetIn, NewAsk, NewChallenge, QuestionRow, UnlockRow, Unlocked, answered_by,
    challenge_of, codes_sent_since, count_attempt, count_unlocking, let_in, question_of, set_code, set_question,
    set_unlock_code, unlock, unlock_by_code,
};
pub use conn::{Conn, DeathWitness, LinkDeath, NoWitness, Store, Tx};
pub use contacts::{
    ContactKey, ContactRow, ContactSaid, contact, contact_standing, contacts, dispute_contact, forget_contacts,
    hold_open_deliveries_to, note_bounce, say_of_contact, whose,
};
pub use control::{
    KeyMark, Pause, beat, control, destroyed_key, forget_key, generation, hook_called, installation_id, key_marks,
    last_hook_at, mark_key, pause, paused, resume, resumed_at, scope_lacking, set_control, set_scope_lacking,
    use_dated_key,
};
pub use deliveries::{
    Delivery, DeliveryFilter, DeliveryKind, FactsSeen, Mode, NOTHING_READ, NewDelivery, advance, deliveries, delivery,
    delivery_of_link, facts_seen, forget_cards, forget_facts, give_back_companion, hold_deliveries, hold_delivery,
    insert_delivery, is_hold_over, keep_until, latest_delivery_of, latest_delivery_with, lease_companions,
    lease_due_deliveries, lease_ended_holds, links_of, make_again_after_quiet, next_issue_no, open_deliveries_of,
    open_deliveries_to, outdate_preparations, owner_of_link, postpone_delivery, ready_between, renew_delivery_lease,
    set_card, set_report_version, sharers_of, shorten_gathering, spend_if_used_up, standing_delivery_of,
    wait_no_longer_than,
};
pub use documents::{
    Alike, Found, MARKS_KEPT, Mark, MarkKind, alike, deliveries_alike, find_alike, forget_marks, hold_documents,
    is_still_the_same, lead_elsewhere, marks_ever_of, marks_of, note_marks, would_digest_tell,
};
pub use due::{DueOf, due_deliveries, due_sources, is_anything_urgent};
pub use error::StoreError;
pub use events::{
    EventEnd, KeptBody, NewEvent, StoredEvent, delete_events_before, event_body, finish_event, insert_event,
    lease_events, quarantine_of, quarantined, retry_event,
};
pub use families::{
    Place, Said, family_of, hold_family, leave_family, make_one, note_said, place_of, replaced_by, said_of,
    set_replaced, under_way_of, who_said_the_same,
};
pub use health_links::{
    HealthLinkRow, NewHealthLink, count_passcode, give_back_passcode, health_file, passcodes_left,
    standing_health_link, withdraw_health_link,
};
pub use hearing::{hear_again_in_full, hear_if_new, hear_of_the_past, heard_to_be_gone, is_followed};
pub use incidents::{
    Affected, IncidentApproval, IncidentCriteria, IncidentRow, Outcome, Struck, affected_of, approve_incident,
    end_incident, hold_incident, incident, incidents, interrupted_incidents, propose_incident, settle_affected, struck,
    unsettled_count, unsettled_of,
};
pub use lease::{LEASE, RENEW_EVERY, Renewed, give_back, while_kept};
pub use links::{
    FileRow, LinkRow, LivingLink, NewFile, NewLink, dead_links_with_files, deliveries_under, epochs_in_use, files_of,
    files_removed, forget_links_before, insert_link, known_blobs, link, link_by_reference, links_due_to_expire,
    live_links, living_links, opened_of, sealed_since, shred_link,
};
pub use looks::{
    Look, LookEnd, LookRow, Offered, ensure_look, is_look_due, lease_look, looks_of, renew_look, settle_look,
};
pub use migrations::{MigrationState, RanRow, audit_migrations, migrate, unaudited_migrations};
pub use notices::reported::{ask_again_at, leave_later, note_arrival, settle_reported, texts_since, unsure_texts};
pub use notices::{
    LeasedNotice, NewNotice, NoticeRow, NoticeSecret, hold_unsent_notices, insert_notice, lease_notices,
    lease_notices_within, leased_notices_lost, notice, notices_of, settle_notice, stale_notices,
};
pub use openings::{
    Claim, ClaimLease, ClaimRefusal, FileGrant, LapsedOpening, OpeningRow, Received, begin_opening, claim, file_grant,
    lapse_openings, openings_of, receive, running_claims, stretch_lease,
};
pub use operators::{
    Ended, NewOperator, OperatorRow, Rekeyed, Role, add_operator, end_operator, operator, operators, recover_lead,
    rekey_operator,
};
pub use opt_outs::{deliveries_to_number, end_opt_out, note_opt_out, opted_out};
pub use panel::{
    Listed, PanelPatient, PanelSummary, PatientEnd, due_patients, end_panel, forget_unlisted, list_patient,
    next_patients, panel_summary, settle_patient,
};
pub use papers::{
    doubt_paper, forget_note, insert_paper, note_of, paper_of, release_doubted, released_although_doubted, set_note,
    set_paper,
};
pub use past::{
    Past, PastAsked, PastRow, PastState, Reached, begin_past, is_past_due, lease_past, past_of, renew_past,
    resume_past, settle_past, stop_past,
};
pub use patients::{forget_patient, patient_key, patients_without_deliveries, remember_patient};
pub use polls::{
    Beginning, CLOCK_OFF_MAX, PollEnd, PollRow, SubscriptionRow, begin_poll_at, ensure_poll, ensure_subscription_row,
    followed_since, lease_poll, lease_subscription, note_poll_clock, poll_sooner, polls, renew_poll, settle_poll,
    settle_subscription, subscriptions,
};
pub use preferences::{end_preference, preferences_of, set_preference, unreleased_sources_of};
pub use redecisions::{
    Noted, NotedVerdict, Redecision, begin_redecision, forget_redecision, note_redecision, noted_redecision,
    noted_redecisions, set_decision, set_facts, tighten_link, undecided_after, went_on_to,
};
pub use reminders::{
    ReminderRow, ask_for_call, deliveries_to_call, note_call, put_reminder_off, reminder_of, reminders_due,
    take_reminder,
};
pub use sent_lately::{CountedBy, first_attempts_since, number_within};
pub use signing_keys::{
    NewSigningKey, SigningKeyRow, SigningTurn, TurnOver, add_signing_key, end_signing_keys, signing_keys,
    turn_signing_keys,
};
pub use slips::{Bound, NewSlip, SlipRow, bind_slip, insert_slip, slip_of};
pub use sources::{
    Hearing, NOT_CONFIGURED, SourceReading, SourceRow, catch_up_others, due_for_recheck, fail_source, finish_source,
    follow_for, followed_for_others, hear, hurry, lease_sources, lease_urgent_sources, look_for_others, others_gone,
    put_off, read_again, read_again_for_all, read_stale_sources_again, read_twins_again, renew_source, source,
    source_of, take_up_what_was_left,
};
pub use staff::{follow_from, pass_breaker, set_generation, set_installation, set_mode, unreleased_deliveries};
pub use staff_mails::{
    LeasedStaffMail, end_staff_mail, forget_staff_mails, lease_staff_mails, retry_staff_mail, tell_staff,
};
pub use topics::{
    GapRow, SignOfLife, TopicRow, ensure_topic, gaps_of, hold_topic, hold_topic_quietly, lease_topic, look_sooner,
    set_counted, set_gaps, settle_topic, take_gap, topic_of,
};
pub use versions::{
    ActivatedBy, ActivationRow, Approval, Bundle, NewVersion, Proposed, Reactivated, VersionRow, VersionState,
    Withdrawn, activations, approve_version, bundle_of, hold_rules, propose_version, reactivate_version,
    rules_in_force, rules_stamp, share_rules, timetable, version, versions, withdraw_version,
};
pub use wishes::{
    answer_wish, deliveries_wished_for, forget_wishes, is_wish_open, is_wished_for, new_wishes, note_wish_seen,
    wish_for_link,
};
pub use write_backs::{
    ToldCount, ToldEnd, ToldRow, ToldState, communication_of, forget_told, is_anything_to_tell, lease_told,
    note_opened, renew_told, set_tells, settle_told, tells, told_again, told_of, told_of_delivery, told_standing,
};
