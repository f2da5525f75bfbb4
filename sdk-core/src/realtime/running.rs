//! How many workers there are, for who has to drive them.

use alloc::{sync::Arc, vec::Vec};
use core::task::Waker;
#[cfg(feature = "reqwest")]
use core::task::{Context, Poll};

use crate::{client::Shared, runtime::Lock};

/// The workers of a client and its `with_session` family.
pub(crate) struct Workers {
    state: Lock<State>,
}

#[derive(Default)]
struct State {
    running: usize,
    watchers: Vec<Waker>,
}

impl Workers {
    pub(crate) fn new() -> Workers {
        Workers { state: Lock::new(State::default()) }
    }

    /// Is there any?
    #[cfg(feature = "reqwest")]
    pub(crate) fn any(&self) -> bool {
        self.state.with(|s| s.running > 0)
    }

    /// Ready when there is none.
    #[cfg(feature = "reqwest")]
    pub(crate) fn poll_over(&self, cx: &Context<'_>) -> Poll<()> {
        self.state.with(|s| {
            if s.running == 0 {
                return Poll::Ready(());
            }
            if !s.watchers.iter().any(|waker| waker.will_wake(cx.waker())) {
                s.watchers.push(cx.waker().clone());
            }
            Poll::Pending
        })
    }
}

/// One worker, while it is there.
pub(super) struct Running(Arc<Shared>);

impl Running {
    pub(super) fn new(shared: &Arc<Shared>) -> Running {
        shared.workers.state.with(|s| s.running += 1);
        Running(shared.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let watchers = self.0.workers.state.with(|s| {
            s.running = s.running.saturating_sub(1);
            if s.running == 0 { core::mem::take(&mut s.watchers) } else { Vec::new() }
        });
        watchers.into_iter().for_each(Waker::wake);
    }
}
