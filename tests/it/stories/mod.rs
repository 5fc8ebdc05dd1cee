//! What the clinic, the lab and the patient live through; one file per story.

mod endings;
mod restore;
mod shredding;
mod the_way;
