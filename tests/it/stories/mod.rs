//! What the clinic, the lab and the patient live through; one file per story.

mod attachments;
mod audit_trail;
mod bad_input;
mod census;
mod commands;
mod corrections;
mod demo;
mod dry_run;
mod ehr_trouble;
mod endings;
mod mail_faults;
mod nothing_leaks;
mod nothing_surprises;
mod operators;
mod page;
mod rehearse;
mod restart;
mod restore;
mod second_thoughts;
mod shredding;
mod signed_hooks;
mod the_way;
mod told;
mod versions;
mod who_gets_it;
