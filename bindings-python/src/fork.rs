//! What does not survive a fork: connections, threads, and everything that they may have held locked.

use std::{mem::ManuallyDrop, ops::Deref, process};

/// Something that belongs to the process that made it. In a child that was forked it is not dropped: a lock that another
/// thread held at that moment is held for ever. Who uses it asks first whether it is [`ours`](Self::is_ours).
pub(crate) struct Ours<T> {
    pid: u32,
    value: ManuallyDrop<T>,
}

impl<T> Ours<T> {
    pub(crate) fn new(value: T) -> Ours<T> {
        Ours { pid: process::id(), value: ManuallyDrop::new(value) }
    }

    pub(crate) fn is_ours(&self) -> bool {
        self.pid == process::id()
    }
}

impl<T> Deref for Ours<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Drop for Ours<T> {
    #[expect(unsafe_code, reason = "this is the one drop of the value, which nobody can reach any more")]
    fn drop(&mut self) {
        if self.is_ours() {
            // SAFETY: the value is not used again: `self` ends here.
            unsafe { ManuallyDrop::drop(&mut self.value) }
        }
    }
}

/// [`Ours`] for what is held beyond a call, a stream or a subscription: every use asks.
pub(crate) struct Owned<T>(Ours<T>);

impl<T> Owned<T> {
    pub(crate) fn new(value: T) -> Owned<T> {
        Owned(Ours::new(value))
    }

    /// The value, in the process that it belongs to.
    pub(crate) fn get(&self) -> Option<&T> {
        self.0.is_ours().then(|| &*self.0)
    }
}
