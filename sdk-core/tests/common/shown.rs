//! Whether secrets appear in what is shown: Debug, errors, logs.

use std::{
    fmt::Debug,
    io::Write,
    sync::{Arc, Mutex},
};

use tracing_subscriber::{filter::LevelFilter, fmt::MakeWriter};

/// Everything that was shown, and what must not be in it.
#[derive(Clone, Default)]
pub(crate) struct Shown(Arc<Mutex<String>>);

impl Shown {
    /// Gathers all tracing output of this thread, to the finest level, for as long as what it answers is kept.
    pub(crate) fn listen(&self) -> (tracing::subscriber::DefaultGuard, tracing::Dispatch) {
        // Where there is but one subscriber, a place that logs is asked for by the thread that meets it first, and is
        // silenced for all if that one has none. With a second one all are asked.
        let second = tracing::Dispatch::new(tracing_subscriber::fmt().with_max_level(LevelFilter::OFF).finish());
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(LevelFilter::TRACE)
            .with_ansi(false)
            .with_writer(self.clone())
            .finish();
        let guard = tracing::subscriber::set_default(subscriber);
        // Other tests may have met the places that log just before, when nobody listened.
        tracing::callsite::rebuild_interest_cache();
        (guard, second)
    }

    pub(crate) fn add(&self, shown: &dyn Debug) {
        let mut text = self.0.lock().unwrap();
        text.push_str(&format!("{shown:?}\n{shown:#?}\n"));
    }

    pub(crate) fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn has_none_of(&self, secrets: &[(&str, &str)]) {
        let text = self.0.lock().unwrap();
        for (name, secret) in secrets {
            assert!(secret.len() >= 8, "{name} is too short to look for");
            let line = text.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "the {name} is in: {line:?}");
        }
    }
}

impl Write for Shown {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().push_str(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Shown {
    type Writer = Shown;

    fn make_writer(&'a self) -> Shown {
        self.clone()
    }
}
