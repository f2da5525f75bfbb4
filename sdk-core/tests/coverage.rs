//! Placeholder until the suite stands.
