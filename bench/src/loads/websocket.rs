//! Messages there and back on WebSockets, as `kubectl exec` has them.

use std::pin::Pin;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use service_kit::websocket::{Role, generate_key};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::measure::CPU_OF_REQUESTS;
use super::{Case, Measure, Stage, connections};
use crate::generator::closed_loop::Caller;
use crate::generator::connection::Duplex;
use crate::generator::{Connection, Entry};
use crate::lean::origin::ECHO;
use crate::results::Report;

const CONNECTIONS: [usize; 2] = [1, 32];
/// Bytes of a message.
const MESSAGE: usize = 64;
const MEASURES: [Measure; 3] = [
    Measure::more("round trips/s", "round trips/s").with_chart(),
    Measure::less("p50", "ms"),
    Measure::less("p99", "ms"),
];

struct Echoes(WebSocketStream<Pin<Box<dyn Duplex>>>);

impl Echoes {
    async fn open(entry: &Entry) -> Result<Self> {
        let mut connection = Connection::open(entry).await?;
        let request = format!(
            "{}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: {}\r\n\r\n",
            entry.head("GET", ECHO),
            generate_key()
        );
        connection.send(request.as_bytes()).await?;
        let status = connection.head().await?.status;
        ensure!(status == 101, "the upgrade was answered {status}");
        let stream = connection.into_stream()?;
        let socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
        let mut echoes = Self(socket);
        echoes.call().await?;
        Ok(echoes)
    }
}

impl Caller for Echoes {
    async fn call(&mut self) -> Result<u64> {
        let message = Message::Binary(Bytes::from_static(&[b'x'; MESSAGE]));
        self.0.send(message).await?;
        let back = self.0.next().await.context("the WebSocket ended")??;
        ensure!(back.len() == MESSAGE, "another message came back");
        Ok(MESSAGE as u64)
    }
}

pub(super) async fn run(stage: &Stage<'_>, report: &mut Report) -> Result<()> {
    let cases = stage.cases().await?;
    let measures = [&MEASURES[..], &CPU_OF_REQUESTS].concat();
    for count in CONNECTIONS {
        let title = format!("WebSocket, {MESSAGE}-byte messages, {}", connections(count));
        let measure = async |case: &Case<'_>| {
            let mut callers = Vec::new();
            for _ in 0..count {
                callers.push(Echoes::open(&case.entry).await?);
            }
            let (looped, cpu) = case.closed_loop(callers, stage.effort.times).await?;
            anyhow::Ok([&looped.figures()[..], &cpu].concat())
        };
        stage
            .table(report, &title, &measures, &cases, measure)
            .await;
    }
    Ok(())
}
