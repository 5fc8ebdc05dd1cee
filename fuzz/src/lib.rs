//! What the fuzz targets share: chance that can be repeated, and mutations that keep JSON JSON.
//!
//! Each target in `src/bin` states at its top what must hold for every input; `scripts/fuzz` builds and runs them all.

pub mod chance;
pub mod json;
