//! What the clinic, the lab and the patient live through; one file per story.

mod bad_input;
mod ehr_trouble;
mod endings;
mod nothing_leaks;
mod page;
mod the_way;
