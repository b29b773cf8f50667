//! A cluster whose connector is hostile: it has a good token of its own, and
//! then says whatever it likes. Its own callers are refused in time; the others
//! and the server notice nothing.

mod answers;
mod connector;
mod control;
mod floods;
mod frames;
mod goodbye;
mod handshakes;
mod headers;
mod settings;
mod silence;
mod stage;
mod trailers;

use std::process::ExitCode;

use answers::{
    answers_that_nobody_asked_for, forged_headers, lying_lengths, no_answer_is_anothers,
    statuses_that_are_none, switches_that_nobody_asked_for,
};
use control::{
    control_lines_without_end, control_streams_that_end, control_streams_that_lie,
    drains_without_end, no_messages, one_byte_at_a_time,
};
use floods::{floods_of_frames, floods_on_an_open_stream, floods_that_read_nothing};
use frames::{broken_frames, goodbyes, what_is_no_http2};
use goodbye::{what_had_a_body_is_told_as_broken, what_it_has_not_looked_at_goes_to_another_link};
use handshakes::{
    a_thousand_at_once, half_open_handshakes, new_instances_and_generations, several_credentials,
};
use headers::{
    header_blocks_over_the_limit, header_blocks_without_end, header_bombs, hints_that_are_bombs,
};
use integration::{suite, tests};
use settings::{absurd_settings, settings_that_break_the_rules, windows_that_overflow};
use silence::{
    a_connector_that_never_answers, a_connector_that_never_reads, answers_that_trickle,
    small_frames_that_nobody_reads, uploads_that_are_answered_and_not_taken,
};
use trailers::forged_trailers;

fn main() -> ExitCode {
    suite::run(tests![
        broken_frames,
        goodbyes,
        what_it_has_not_looked_at_goes_to_another_link,
        what_had_a_body_is_told_as_broken,
        what_is_no_http2,
        absurd_settings,
        settings_that_break_the_rules,
        windows_that_overflow,
        header_blocks_over_the_limit,
        header_blocks_without_end,
        header_bombs,
        hints_that_are_bombs,
        floods_of_frames,
        floods_on_an_open_stream,
        floods_that_read_nothing,
        lying_lengths,
        no_answer_is_anothers,
        answers_that_nobody_asked_for,
        forged_headers,
        statuses_that_are_none,
        switches_that_nobody_asked_for,
        control_lines_without_end,
        control_streams_that_end,
        control_streams_that_lie,
        drains_without_end,
        no_messages,
        one_byte_at_a_time,
        a_connector_that_never_answers,
        a_connector_that_never_reads,
        answers_that_trickle,
        small_frames_that_nobody_reads,
        uploads_that_are_answered_and_not_taken,
        a_thousand_at_once,
        half_open_handshakes,
        new_instances_and_generations,
        several_credentials,
        forged_trailers,
    ])
}
