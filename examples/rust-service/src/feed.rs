//! `GET /posts/feed`: the newest published posts as server-sent events. The first is `snapshot` with the list, after it
//! come `enter`, `change`, `leave` and `move`; folded, they give what `GET /posts` would answer.
//!
//! However many clients look, the service follows one live query. It starts with the first client and ends with the
//! last, so that an instance that nobody looks at can sleep.
//!
//! ```text
//! client ◄── Viewer ◄─┐
//! client ◄── Viewer ◄─┤ Board ◄── follow ◄── live query ◄── the instance
//! client ◄── Viewer ◄─┘
//! ```

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use axum::{
    extract::State,
    response::{
        IntoResponse,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{StreamExt, stream};
use picobase::{
    Client, Error,
    live::{LiveChange, LiveEvent},
};
use serde_json::{Value, json};
use tokio::{sync::broadcast, task::AbortHandle};

use crate::{NEWEST_FIRST, PAGE, PUBLISHED, Post, error};

/// A comment is sent this often when nothing else is: proxies close a connection that is silent for a minute.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How many events may wait for a slow client. One that is further behind gets a new snapshot in their place.
const WAITING_MAX: usize = 256;
/// How long to wait before a live query that has failed for good is asked for again.
const RETRY: Duration = Duration::from_secs(5);

/// The feed. It has a room while somebody looks: each client holds it, the last to leave closes it.
pub(crate) struct Feed {
    client: Client,
    room: Mutex<Weak<Room>>,
}

impl Feed {
    pub(crate) fn new(client: &Client) -> Arc<Feed> {
        Arc::new(Feed { client: client.clone(), room: Mutex::new(Weak::new()) })
    }

    fn join(&self) -> Viewer {
        let mut current = lock(&self.room);
        let room = current.upgrade().unwrap_or_else(|| {
            let board = Arc::new(Mutex::new(Board::new()));
            let follower = tokio::spawn(follow(self.client.clone(), board.clone())).abort_handle();
            Arc::new(Room { board, follower })
        });
        *current = Arc::downgrade(&room);
        Viewer::new(room)
    }
}

pub(crate) async fn posts_feed(State(feed): State<Arc<Feed>>) -> impl IntoResponse {
    let events = stream::unfold(feed.join(), async |mut viewer| {
        let event = viewer.next().await?;
        Some((Ok::<_, Infallible>(event), viewer))
    });
    // The header keeps nginx from collecting the events.
    ([("x-accel-buffering", "no")], Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)))
}

/// What the clients share.
struct Room {
    board: Arc<Mutex<Board>>,
    follower: AbortHandle,
}

impl Drop for Room {
    fn drop(&mut self) {
        // With the task the live query goes, and a second later the stream to the instance.
        self.follower.abort();
    }
}

/// Keeps the board as the live query says, for as long as it is let.
async fn follow(client: Client, board: Arc<Mutex<Board>>) {
    let posts = client.collection("posts").typed::<Post>();
    loop {
        match posts.live().filter(PUBLISHED).sort(NEWEST_FIRST).limit(PAGE).await {
            // It goes on through every gap, and after most errors.
            Ok(mut newest) => {
                while let Some(item) = newest.next().await {
                    lock(&board).take(item);
                }
            }
            Err(error) => lock(&board).take(Err(error)),
        }
        // Who joins now waits for the next snapshot.
        lock(&board).posts = None;
        tokio::time::sleep(RETRY).await;
    }
}

/// The list as it is, and the way to tell of changes. Both are used under one lock: who joins gets a snapshot and
/// exactly the changes that come after it.
struct Board {
    posts: Option<Vec<Post>>,
    events: broadcast::Sender<Event>,
}

impl Board {
    fn new() -> Board {
        Board { posts: None, events: broadcast::Sender::new(WAITING_MAX) }
    }

    fn take(&mut self, item: Result<LiveEvent<Post>, Error>) {
        let event = match item {
            Ok(LiveEvent::Snapshot(posts)) => snapshot(self.posts.insert(posts)),
            Ok(LiveEvent::Change(change)) => {
                let event = changed(&change);
                change.apply(self.posts.get_or_insert_default());
                event
            }
            Ok(_) => return,
            Err(error) => event("error", &error::body(&error)),
        };
        // It fails when nobody listens: the room is about to close.
        let _ = self.events.send(event);
    }

    fn join(&self) -> (Option<Event>, broadcast::Receiver<Event>) {
        (self.posts.as_deref().map(snapshot), self.events.subscribe())
    }
}

/// One client's place in the room.
struct Viewer {
    room: Arc<Room>,
    /// Sent before all that is in `events`.
    snapshot: Option<Event>,
    events: broadcast::Receiver<Event>,
}

impl Viewer {
    fn new(room: Arc<Room>) -> Viewer {
        let (snapshot, events) = lock(&room.board).join();
        Viewer { room, snapshot, events }
    }

    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(snapshot) = self.snapshot.take() {
                return Some(snapshot);
            }
            match self.events.recv().await {
                Ok(event) => return Some(event),
                // Too slow: what was missed is in a new snapshot.
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    (self.snapshot, self.events) = lock(&self.room.board).join();
                }
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

fn snapshot(posts: &[Post]) -> Event {
    event("snapshot", &json!(posts))
}

fn changed(change: &LiveChange<Post>) -> Event {
    match change {
        LiveChange::Enter { index, id, record } => event("enter", &json!({"index": index, "id": id, "post": record})),
        LiveChange::Change { index, id, record } => event("change", &json!({"index": index, "id": id, "post": record})),
        LiveChange::Leave { index, id } => event("leave", &json!({"index": index, "id": id})),
        LiveChange::Move { from, to, id } => event("move", &json!({"from": from, "to": to, "id": id})),
    }
}

fn event(name: &str, data: &Value) -> Event {
    Event::default().event(name).data(data.to_string())
}

/// The board is whole even when somebody has panicked with the lock: it is changed in one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
