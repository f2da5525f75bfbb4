//! PicoBase.
