//! Behaviours that the design promises by number: those of links (`link_…`) and those of the EHR's events (`event_…`).
//!
//! A test carries the number and the words of its behaviour. Where a story shows a part of one already, the behaviour's
//! test shows the rest and names the story.

mod at_rest;
mod attachments_under_fire;
mod big_and_flat;
mod carried_over;
mod challenges;
mod doctor;
mod doctor_channels;
mod events;
mod events_by_topic;
mod events_by_topic_under_fire;
mod events_under_fire;
mod hostile_attachments;
mod links;
mod links_in_a_browser;
mod links_under_fire;
mod malware;
mod names_that_part;
mod one_document;
mod one_document_under_fire;
mod polling;
mod polling_by_patient;
mod reading_the_past;
mod replaced_and_merged;
mod setup;
mod sign_in;
mod sign_in_troubles;
mod texts;
mod told;
mod told_under_fire;
mod whose_paper;
mod whose_paper_at_large;
mod whose_paper_under_fire;
mod written;
