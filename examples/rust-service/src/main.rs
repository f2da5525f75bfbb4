//! Starts the service as the environment says. See the README.

use std::{env, time::Duration};

use rust_service::{Settings, app};

/// How long requests may go on after the signal to stop. A feed has no end of its own.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let settings = Settings {
        url: env::var("PICOBASE_URL")?,
        email: env::var("SERVICE_EMAIL")?,
        password: env::var("SERVICE_PASSWORD")?,
        session_file: env::var("SESSION_FILE").unwrap_or_else(|_| "session.json".to_string()).into(),
    };
    let address = env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:3000".to_string());
    let listener = tokio::net::TcpListener::bind(&address).await?;
    let server = axum::serve(listener, app(&settings)?).with_graceful_shutdown(stopped());
    tokio::select! {
        served = server => served?,
        () = overdue() => {}
    }
    Ok(())
}

async fn stopped() {
    // Without a signal handler the service runs until it is killed.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn overdue() {
    stopped().await;
    tokio::time::sleep(LAST_REQUESTS).await;
}
