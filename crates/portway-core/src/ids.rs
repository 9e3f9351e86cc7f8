//! Small integer names for the things a plan contains. A name becomes an id at compile time, so
//! that the request path indexes a slice instead of hashing a string.
//!
//! Must hold: an id is only meaningful inside the snapshot that gave it.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u32);

        impl $name {
            /// The position of this thing in its snapshot's slice.
            #[must_use]
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

id!(
    /// Which listener of the snapshot.
    ListenerId
);
id!(
    /// Which route of the snapshot.
    RouteId
);
id!(
    /// Which upstream of the snapshot.
    UpstreamId
);
id!(
    /// Which target inside its upstream's current target set.
    TargetId
);
