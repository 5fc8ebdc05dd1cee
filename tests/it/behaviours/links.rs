//! The link: nothing of it at rest, dead for good, ended to the second, kind to who holds it.
