//! Reads text/event-stream (WHATWG HTML §9.2.6) from chunks that are cut anywhere.
