//! What the clinic, the lab and the patient live through; one file per story.

<<<<<<< HEAD
mod nothing_leaks;
=======
mod endings;
>>>>>>> main
mod the_way;
