//! What the clinic, the lab and the patient live through; one file per story.

mod bad_input;
mod endings;
mod nothing_leaks;
mod restore;
mod shredding;
mod the_way;
