//! Chromium's DevTools protocol, as far as these tests need it: commands and their
//! results, one after the other.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// Milliseconds on an idle machine.
const DEADLINE: Duration = Duration::from_secs(60);

pub struct DevTools(Mutex<Connection>);

struct Connection {
    socket: WebSocketStream<TcpStream>,
    last_id: u64,
}

/// A tab's, or none for the browser's own.
pub type Session = Option<String>;

impl DevTools {
    /// Connects to `127.0.0.1:port` with the browser's own path.
    pub async fn connect(port: u16, path: &str) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let url = format!("ws://127.0.0.1:{port}{path}");
        let (socket, _) = tokio_tungstenite::client_async(url, stream).await?;
        Ok(Self(Mutex::new(Connection { socket, last_id: 0 })))
    }

    /// A command's result.
    pub async fn call(&self, session: &Session, method: &str, parameters: Value) -> Result<Value> {
        let mut connection = self.0.lock().await;
        timeout(DEADLINE, connection.call(session, method, parameters))
            .await
            .with_context(|| format!("no result of {method}"))?
            .with_context(|| method.to_owned())
    }
}

impl Connection {
    async fn call(&mut self, session: &Session, method: &str, parameters: Value) -> Result<Value> {
        self.last_id += 1;
        let mut command = json!({ "id": self.last_id, "method": method, "params": parameters });
        if let Some(session) = session {
            command["sessionId"] = session.as_str().into();
        }
        let command = Message::text(command.to_string());
        self.socket.send(command).await?;
        loop {
            let message = self.socket.next().await.context("the browser is gone")??;
            let Message::Text(text) = message else {
                continue;
            };
            let mut message: Value = serde_json::from_str(&text)?;
            // The others are events.
            if message["id"] == self.last_id {
                ensure!(message["error"].is_null(), "{}", message["error"]);
                return Ok(message["result"].take());
            }
        }
    }
}

/// What a script gave.
pub fn evaluated(result: &Value) -> Result<Value> {
    if result["exceptionDetails"].is_null() {
        Ok(result["result"]["value"].clone())
    } else {
        bail!("{}", result["exceptionDetails"])
    }
}
