//! What tunnels and connections whose bytes pass as they are have in common: by when they must be over,
//! and what is said of how they ended.

use portway_core::{Code, Mono, ProxyError};
use portway_net::DrainState;
use portway_net::relay::End;

use crate::snapshot::Door;
use crate::worker::Worker;

/// By when it must be over, if its listener or the process ends.
pub(crate) fn ending(worker: &Worker, door: &Door) -> Option<Mono> {
    let drains = [&door.drain, &worker.shared.drain];
    let ending = drains.into_iter().filter(|drain| drain.is_ending());
    ending
        .map(|drain| match drain.state() {
            DrainState::Running => Mono::NEVER,
            DrainState::Draining { deadline } => deadline,
            DrainState::Stop => Mono(0),
        })
        .min()
}

/// Why it is over, unless both sides had said all they had to say.
pub(crate) fn problem(end: End) -> Option<ProxyError> {
    Some(match end {
        End::Closed => return None,
        End::Idle => ProxyError::new(Code::IdleTimeout, "no byte either way for too long"),
        End::Cut => ProxyError::new(Code::Drained, "the drain did not wait any longer"),
        End::Client(source) => {
            ProxyError::new(Code::ClientGone, "the client's connection broke").with_source(source)
        }
        End::Target(source) => {
            ProxyError::new(Code::UpstreamReset, "the target's connection broke")
                .with_source(source)
        }
    })
}
