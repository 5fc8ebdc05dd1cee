//! What the clinic, the lab and the patient live through; one file per story.

mod nothing_leaks;
mod the_way;
