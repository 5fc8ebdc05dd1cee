//! The EHR's word: heard once, in any order, however late, and obeyed when it takes a report back.
