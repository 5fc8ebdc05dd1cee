//! What the clinic, the lab and the patient live through; one file per story.

mod attachments;
mod corrections;
mod endings;
mod mail_faults;
mod nothing_surprises;
mod the_way;
mod versions;
mod who_gets_it;
