//! The routes as a browser, a stranger and an EHR meet them.
