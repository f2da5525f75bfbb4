//! Fault rules: which requests they take, for how long, and what they do.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// One rule as it was sent.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    method: Option<String>,
    path: Option<String>,
    path_prefix: Option<String>,
    path_contains: Option<String>,
    query_contains: Option<String>,
    times: Option<u64>,
    for_ms: Option<u64>,
    #[serde(default)]
    from: From,
    #[serde(default)]
    skip: u64,
    action: Action,
}

/// Where `for_ms` begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum From {
    #[default]
    Set,
    FirstHit,
}

/// What a rule does.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Action {
    Respond(Answer),
    RespondAfterForward(Answer),
    Redirect {
        status: u16,
        location: String,
    },
    Reset(Point),
    Close(Point),
    Stall(Point),
    Truncate {
        bytes: u64,
    },
    LoseAnswer {},
    Refuse {
        #[serde(default)]
        keep_live: bool,
    },
    Delay {
        ms: u64,
    },
    Slow {
        bytes_per_sec: u64,
        #[serde(default)]
        direction: Direction,
    },
    Headers {
        #[serde(default)]
        set: Map<String, Value>,
        #[serde(default)]
        remove: Vec<String>,
    },
    IdleClose {
        ms: u64,
    },
    MaxAge {
        ms: u64,
        #[serde(default)]
        how: How,
    },
    StreamIdleClose {
        ms: u64,
        #[serde(default)]
        clean: bool,
    },
}

/// An answer of the proxy's own.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    #[serde(default)]
    pub(crate) headers: Map<String, Value>,
    #[serde(default)]
    pub(crate) body: Value,
    pub(crate) content_type: Option<String>,
}

/// A place in an exchange.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Point {
    #[serde(default)]
    pub(crate) when: When,
    #[serde(default)]
    pub(crate) bytes: u64,
    pub(crate) ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum When {
    Accept,
    #[default]
    BeforeForward,
    AfterRequestBytes,
    AfterResponseBytes,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Direction {
    Request,
    #[default]
    Response,
    Both,
}

/// How a connection ends: by RST, by FIN, or by saying nothing any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum How {
    Reset,
    #[default]
    Close,
    Stall,
}

impl Action {
    /// Modifiers change an exchange that goes on; all that match apply. Of the others the first that matches does.
    fn is_modifier(&self) -> bool {
        matches!(
            self,
            Self::Delay { .. }
                | Self::Slow { .. }
                | Self::Headers { .. }
                | Self::IdleClose { .. }
                | Self::MaxAge { .. }
                | Self::StreamIdleClose { .. }
        )
    }

    /// The place of a reset, close or stall.
    fn point(&self) -> Option<Point> {
        match self {
            Self::Reset(point) | Self::Close(point) | Self::Stall(point) => Some(*point),
            _ => None,
        }
    }

    fn at_accept(&self) -> bool {
        self.point().is_some_and(|point| point.when == When::Accept)
    }
}

impl Rule {
    /// Says what is wrong with a rule that can never do what it says.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.action.at_accept() && self.is_conditional() {
            return Err("a rule with \"when\": \"accept\" knows no method and no path".into());
        }
        if matches!(self.action, Action::Refuse { .. }) && (self.is_conditional() || self.times.is_some()) {
            return Err("\"refuse\" closes the listener: it knows no method, no path and no times".into());
        }
        if matches!(self.action, Action::Slow { bytes_per_sec: 0, .. }) {
            return Err("\"bytes_per_sec\" must be at least 1".into());
        }
        Ok(())
    }

    fn is_conditional(&self) -> bool {
        self.method.is_some()
            || self.path.is_some()
            || self.path_prefix.is_some()
            || self.path_contains.is_some()
            || self.query_contains.is_some()
    }

    /// Preflights are matched only by rules that name OPTIONS.
    fn matches(&self, method: &str, path: &str, query: &str) -> bool {
        let method_fits = match &self.method {
            Some(wanted) => wanted.eq_ignore_ascii_case(method),
            None => method != "OPTIONS",
        };
        method_fits
            && self.path.as_ref().is_none_or(|wanted| wanted == path)
            && self.path_prefix.as_ref().is_none_or(|wanted| path.starts_with(wanted))
            && self.path_contains.as_ref().is_none_or(|wanted| path.contains(wanted))
            && self.query_contains.as_ref().is_none_or(|wanted| query.contains(wanted))
    }
}

/// A rule at work.
#[derive(Debug)]
struct Active {
    rule: Rule,
    set_at: Instant,
    first_hit: Option<Instant>,
    seen: u64,
    hits: u64,
}

impl Active {
    fn new(rule: Rule) -> Self {
        Self { rule, set_at: Instant::now(), first_hit: None, seen: 0, hits: 0 }
    }

    /// Whether its time has not run out.
    fn is_live(&self) -> bool {
        let begin = if self.rule.from == From::Set { Some(self.set_at) } else { self.first_hit };
        let in_time = match (self.rule.for_ms, begin) {
            (Some(ms), Some(begin)) => begin.elapsed() < Duration::from_millis(ms),
            _ => true,
        };
        in_time && self.rule.times.is_none_or(|times| self.hits < times)
    }

    /// Counts a match; true when the rule applies to it.
    fn hit(&mut self) -> bool {
        if !self.is_live() {
            return false;
        }
        self.seen += 1;
        if self.seen <= self.rule.skip {
            return false;
        }
        self.first_hit.get_or_insert_with(Instant::now);
        self.hits += 1;
        true
    }
}

/// What the rules want done with one request.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// The rule that is blamed in the log: the one that decides, else the first modifier.
    pub(crate) fault: Option<usize>,
    pub(crate) modifiers: Vec<Action>,
    pub(crate) deciding: Option<Action>,
}

/// The rules of a proxy, in their order.
#[derive(Debug, Default)]
pub(crate) struct Rules(Vec<Active>);

impl Rules {
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn append(&mut self, rules: Vec<Rule>) {
        self.0.extend(rules.into_iter().map(Active::new));
    }

    /// The plan for a request.
    pub(crate) fn plan(&mut self, method: &str, path: &str, query: &str) -> Plan {
        let mut plan = Plan::default();
        let mut first_modifier = None;
        for (index, active) in self.0.iter_mut().enumerate() {
            let modifier = active.rule.action.is_modifier();
            let skipped = active.rule.action.at_accept() || matches!(active.rule.action, Action::Refuse { .. });
            if skipped || (!modifier && plan.deciding.is_some()) {
                continue;
            }
            if !active.rule.matches(method, path, query) || !active.hit() {
                continue;
            }
            if modifier {
                first_modifier.get_or_insert(index);
                plan.modifiers.push(active.rule.action.clone());
            } else {
                plan.fault = Some(index);
                plan.deciding = Some(active.rule.action.clone());
            }
        }
        plan.fault = plan.fault.or(first_modifier);
        plan
    }

    /// What to do with a connection at its accept, before a byte is read.
    pub(crate) fn at_accept(&mut self) -> Option<Action> {
        let active = self.0.iter_mut().find(|active| active.rule.action.at_accept() && active.is_live())?;
        active.hit().then(|| active.rule.action.clone())
    }

    /// How old a new connection may get, by rules without conditions.
    pub(crate) fn max_age(&mut self) -> Option<(u64, How)> {
        self.0.iter_mut().find_map(|active| match active.rule.action {
            Action::MaxAge { ms, how } if !active.rule.is_conditional() && active.is_live() => Some((ms, how)),
            _ => None,
        })
    }

    /// The `refuse` rule that is in force, as whether live connections stay.
    pub(crate) fn refusing(&self) -> Option<bool> {
        self.0.iter().filter(|active| active.is_live()).find_map(|active| match active.rule.action {
            Action::Refuse { keep_live } => Some(keep_live),
            _ => None,
        })
    }

    /// When the first `refuse` rule in force ends by itself.
    pub(crate) fn refusal_ends_in(&self) -> Option<Duration> {
        let refusals = self.0.iter().filter(|active| matches!(active.rule.action, Action::Refuse { .. }));
        let ends = refusals.filter(|active| active.is_live()).filter_map(|active| {
            let life = Duration::from_millis(active.rule.for_ms?);
            Some(life.saturating_sub(active.set_at.elapsed()))
        });
        ends.min()
    }

    /// The rules with their hits.
    pub(crate) fn show(&self) -> Vec<Value> {
        let shown = self.0.iter().map(|active| {
            let mut rule = serde_json::to_value(&active.rule).unwrap_or_default();
            if let Some(rule) = rule.as_object_mut() {
                rule.retain(|_, value| !value.is_null());
                rule.insert("hits".into(), json!(active.hits));
                rule.insert("active".into(), json!(active.is_live()));
            }
            rule
        });
        shown.collect()
    }
}
