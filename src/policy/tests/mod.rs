//! The rules as a clinic meets them.
