//! What breaks streams: servers that end, connections that are cut or say nothing, answers that are none.

use picobase_testkit::Cut;

use crate::tools::{Stage, ms};

#[tokio::test]
async fn cut_connections_lose_nothing() {
    let stage = Stage::new(|options| options.linger = ms(200)).await;
    let watch = stage.watch().await;
    for how in [Cut::Reset, Cut::Close, Cut::Reset, Cut::Close] {
        watch.more(30).await;
        assert_eq!(stage.proxy.cut_path(how, "/api/realtime").await, 1);
    }
    watch.more(30).await;
    let [report] = stage.finish([watch]).await;
    assert_eq!((report.resyncs, report.lagged, report.errors.len()), (vec![], vec![], 0));
}
