//! The settings of links that were measured to matter, each on the real chain.
//!
//! | setting | tested by |
//! | --- | --- |
//! | windows of connection and streams, frames, header list, streams, no push | `wire` |
//! | connection window, `adaptive_window`: who stands still holds up nobody | `stalls` |
//! | budgets for what stands still: per link, per process, upgraded | `budget`, `upgraded`, `left`; http-relay's `stall_budget` |
//! | `max_concurrent_streams`, the semaphore, 503 `link-full` | `streams` |
//! | `max_pending_accept_reset_streams`, `max_local_error_reset_streams` | `cancels` |
//! | header list, 431, header bytes per link, `max_headers` | `headers` |
//! | small and empty DATA frames | `frames` |
//! | `keep_alive_while_idle`, pings of both sides | `cut_bodies`: silent client, silent server |
//! | resets that read as a clean end, content-length | `cut_bodies`, `drains`: uploads reset with NO_ERROR or CANCEL |
//! | `auto_date_header`, 1xx | `one_xx` |
//! | no graceful GOAWAY of an h2 client: the control stream | `drains`, `reconnect` |
//! | `send_request` after GOAWAY | `drains`: a server that drains hands its client over; `hostile_connector` |
//! | the preface without a timer, `header_read_timeout` | `public_listener`: slow |
//! | graceful shutdown ends at the upgrade | `reconnect`: the server, the client, the sidecar let open requests end |
//! | trailers, half-close, early bytes | `upgrades` |

mod budget;
mod caller;
mod cancels;
mod frames;
mod framewise;
mod headers;
mod left;
mod one_xx;
mod stage;
mod stalls;
mod streams;
mod stub;
mod upgraded;
mod wire;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use integration::environment::Environment;
use integration::{suite, tests};

use budget::{
    new_requests_are_refused_for_a_while, of_answers_the_longest_blocked_is_cut,
    of_uploads_the_longest_blocked_is_refused,
};
use cancels::a_worn_link_is_replaced;
use headers::{
    a_head_without_end, an_answer_of_too_much_is_a_bad_gateway, heads_have_a_bound,
    seventy_kibibytes_are_refused, sixty_kibibytes_pass, what_http2_cannot_carry,
};
use left::an_upload_behind_an_answer;
use one_xx::{early_hints, expect_100_continue, no_date_is_added};
use stalls::stalled_readers_and_writers_hold_up_nobody;
use streams::as_many_as_a_link_takes;
use upgraded::upgraded_connections_have_a_budget;
use wire::{the_server_says, tunnel_client_says};

fn main() -> ExitCode {
    // They wait more than they work.
    let tests = tests![
        the_server_says,
        tunnel_client_says,
        stalled_readers_and_writers_hold_up_nobody,
        of_answers_the_longest_blocked_is_cut,
        of_uploads_the_longest_blocked_is_refused,
        new_requests_are_refused_for_a_while,
        an_upload_behind_an_answer,
        upgraded_connections_have_a_budget,
        quick_cancels_over_http1,
        quick_cancels_over_http2,
        a_worn_link_is_replaced,
        sixty_kibibytes_pass,
        seventy_kibibytes_are_refused,
        an_answer_of_too_much_is_a_bad_gateway,
        a_head_without_end,
        heads_have_a_bound,
        what_http2_cannot_carry,
        frames_of_a_byte_in_requests,
        frames_of_a_byte_in_answers,
        empty_frames,
        frames_of_uploads_that_nobody_takes,
        frames_of_answers_that_nobody_takes,
        as_many_as_a_link_takes,
        expect_100_continue,
        early_hints,
        no_date_is_added,
    ];
    suite::run_sharing(Environment::default(), Some(4), tests)
}

async fn quick_cancels_over_http1(environment: Arc<Environment>) -> Result<()> {
    cancels::over_http1(environment).await
}

async fn quick_cancels_over_http2(environment: Arc<Environment>) -> Result<()> {
    cancels::over_http2(environment).await
}

async fn frames_of_a_byte_in_requests(environment: Arc<Environment>) -> Result<()> {
    frames::of_a_byte_in_requests(environment).await
}

async fn frames_of_a_byte_in_answers(environment: Arc<Environment>) -> Result<()> {
    frames::of_a_byte_in_answers(environment).await
}

async fn frames_of_uploads_that_nobody_takes(environment: Arc<Environment>) -> Result<()> {
    frames::of_uploads_that_nobody_takes(environment).await
}

async fn frames_of_answers_that_nobody_takes(environment: Arc<Environment>) -> Result<()> {
    frames::of_answers_that_nobody_takes(environment).await
}

async fn empty_frames(environment: Arc<Environment>) -> Result<()> {
    frames::empty_ones(environment).await
}
