//! What the clinic, the lab and the patient live through; one file per story.

mod bad_input;
mod commands;
mod endings;
mod nothing_leaks;
mod restart;
mod restore;
mod shredding;
mod the_way;
