//! The links that servers have registered, by what they log: one that has to give way at
//! once is never seen among the others.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use tokio::runtime::{Handle, Id};
use tracing::field::{Field, Visit};
use tracing::span::Attributes;
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// A link that was registered.
#[derive(Clone, Debug)]
pub(crate) struct Registered {
    /// The server's process.
    pub(crate) by: Id,
    pub(crate) instance: String,
    pub(crate) lane: u8,
    pub(crate) generation: u64,
}

/// Those that nobody has taken yet.
#[derive(Clone, Default)]
pub(crate) struct Registrations(Arc<Mutex<Vec<Registered>>>);

impl Registrations {
    pub(crate) fn take(&self) -> Vec<Registered> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

impl Fields {
    fn of(record: impl FnOnce(&mut Self)) -> Self {
        let mut fields = Self::default();
        record(&mut fields);
        fields
    }

    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Registrations {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &tracing::Id, context: Context<'_, S>) {
        let span = context.span(id).filter(|span| span.name() == "link");
        if let Some(span) = span {
            let fields = Fields::of(|fields| attributes.record(fields));
            span.extensions_mut().insert(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if event.metadata().target() != "tunnel_server::links::keeper" {
            return;
        }
        let says = Fields::of(|fields| event.record(fields));
        let Some(span) = context.event_span(event) else {
            return;
        };
        let extensions = span.extensions();
        let link = extensions.get::<Fields>();
        let (Some(link), "linked") = (link, says.get("message")) else {
            return;
        };
        self.0.lock().unwrap().push(Registered {
            by: Handle::current().id(),
            instance: link.get("instance").to_owned(),
            lane: link.get("lane").parse().unwrap(),
            generation: link.get("generation").parse().unwrap(),
        });
    }
}
