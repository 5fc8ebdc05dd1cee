//! How a paper looks as HTML.
