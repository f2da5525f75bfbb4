//! A client that reads too slowly.

use futures_util::FutureExt;

use super::*;

fn post(n: usize) -> Post {
    serde_json::from_value(json!({"id": n.to_string(), "title": "", "status": "published", "attachments": []})).unwrap()
}

fn enter(board: &Mutex<Board>, n: usize) {
    let change = LiveChange::Enter { index: 0, id: n.to_string(), record: post(n) };
    lock(board).take(Ok(LiveEvent::Change(change)));
}

async fn read(viewer: &mut Viewer) -> String {
    format!("{:?}", viewer.next().await.unwrap())
}

async fn nothing_waits(viewer: &mut Viewer) -> bool {
    tokio::task::yield_now().await;
    viewer.next().now_or_never().is_none()
}

#[tokio::test]
async fn a_slow_client_gets_a_new_snapshot() {
    let board = Arc::new(Mutex::new(Board::new()));
    let follower = tokio::spawn(std::future::pending::<()>()).abort_handle();
    let mut viewer = Viewer::new(Arc::new(Room { board: board.clone(), follower: follower.clone() }));
    assert!(nothing_waits(&mut viewer).await, "nothing is known yet");

    lock(&board).take(Ok(LiveEvent::Snapshot(vec![post(0)])));
    assert!(read(&mut viewer).await.contains("event: snapshot"));
    (1..=WAITING_MAX).for_each(|n| enter(&board, n));
    for _ in 1..=WAITING_MAX {
        assert!(read(&mut viewer).await.contains("event: enter"));
    }

    (1..=2 * WAITING_MAX).for_each(|n| enter(&board, n));
    let caught_up = read(&mut viewer).await;
    assert!(caught_up.contains("event: snapshot"), "{caught_up}");
    assert_eq!(caught_up.matches("published").count(), 1 + 3 * WAITING_MAX);
    assert!(nothing_waits(&mut viewer).await, "what is in the snapshot is not told again");
    enter(&board, 0);
    assert!(read(&mut viewer).await.contains("event: enter"));

    drop(viewer);
    tokio::task::yield_now().await;
    assert!(follower.is_finished(), "the last client has gone");
}
