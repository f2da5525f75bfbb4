//! What does not survive a fork: connections, threads, and everything that they may have held locked.

use std::{mem::ManuallyDrop, process};

/// Something that belongs to the process that made it. In a child that was forked it is neither used nor dropped: its
/// connections are the parent's, and a lock that another thread held at that moment is held for ever.
pub(crate) struct Owned<T> {
    pid: u32,
    value: ManuallyDrop<T>,
}

impl<T> Owned<T> {
    pub(crate) fn new(value: T) -> Owned<T> {
        Owned { pid: process::id(), value: ManuallyDrop::new(value) }
    }

    /// The value, in the process that it belongs to.
    pub(crate) fn get(&self) -> Option<&T> {
        (self.pid == process::id()).then(|| &*self.value)
    }
}

impl<T> Drop for Owned<T> {
    #[expect(unsafe_code, reason = "this is the one drop of the value, which nobody can reach any more")]
    fn drop(&mut self) {
        if self.pid == process::id() {
            // SAFETY: the value is not used again: `self` ends here.
            unsafe { ManuallyDrop::drop(&mut self.value) }
        }
    }
}
