//! Starts the service as the environment says. See the README.

use std::env;

use rust_service::{Settings, app};

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
    axum::serve(listener, app(&settings)?).with_graceful_shutdown(stopped()).await?;
    Ok(())
}

async fn stopped() {
    // Without a signal handler the service runs until it is killed.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
