//! What services tell of themselves while a config is loaded.
//!
//! Must hold: each service is asked once in a load, however many filters are made of what it tells, and all at
//! once, so that those who say nothing cost one deadline together. One that told its descriptors before and
//! says nothing now is taken at its old word.

use std::cell::RefCell;
use std::sync::Arc;

use portway_discovery::reflect::{Patience, descriptor_sets};
use portway_filter::Service;

/// A service, and what it told last, if it ever did.
#[derive(Clone, Debug)]
pub struct Told {
    /// The service.
    pub service: Service,
    /// Its descriptors.
    pub set: Option<Arc<[u8]>>,
}

impl Told {
    /// Whether it is of this service, reached the same way.
    pub fn is_of(&self, service: &Service) -> bool {
        is_same(&self.service, service)
    }
}

/// What a service told, or why nothing.
type Answer = Result<Arc<[u8]>, String>;

/// The answers of services in one load.
#[derive(Default)]
pub struct Answers {
    given: Vec<(Service, Answer)>,
    wanted: RefCell<Vec<Service>>,
}

impl Answers {
    /// Asks each of them. `before` is what they told the last time. Blocks, for five seconds at most.
    pub fn ask(services: Vec<Service>, before: &[Told]) -> Answers {
        let known = |service: &Service| {
            let told = before.iter().find(|told| told.is_of(service));
            told.and_then(|told| told.set.clone())
        };
        let asked: Vec<(&Service, Patience)> = services
            .iter()
            .map(|service| match known(service) {
                Some(_) => (service, Patience::Now),
                None => (service, Patience::Starting),
            })
            .collect();
        let told = descriptor_sets(&asked);
        let answers = services.into_iter().zip(told).map(|(service, told)| {
            let set = match (told, known(&service)) {
                (Ok(set), _) => Ok(Arc::from(set)),
                (Err(error), Some(known)) => {
                    tracing::warn!(service = %service.at, "no descriptors, those it told before go on: {error}");
                    Ok(known)
                }
                (Err(error), None) => Err(error),
            };
            (service, set)
        });
        Answers {
            given: answers.collect(),
            wanted: RefCell::default(),
        }
    }

    /// What a service told. Who was not asked is wanted from now on.
    ///
    /// # Errors
    /// Why it told nothing, in words.
    pub fn find(&self, service: &Service) -> Result<Vec<u8>, String> {
        let mut given = self.given.iter();
        if let Some((_, set)) = given.find(|(asked, _)| is_same(asked, service)) {
            return set.clone().map(|set| set.to_vec());
        }
        let mut wanted = self.wanted.borrow_mut();
        match wanted.iter_mut().find(|asked| is_same(asked, service)) {
            // One answer for all of them, as often as the most curious wants it.
            Some(asked) => asked.refresh = asked.refresh.min(service.refresh),
            None => wanted.push(service.clone()),
        }
        Err("it was not asked".to_owned())
    }

    /// Those who were looked for, and not asked yet.
    pub fn wanted(&self) -> Vec<Service> {
        self.wanted.borrow().clone()
    }

    /// Who was asked, with what they told.
    pub fn told(&self) -> Vec<Told> {
        let given = self.given.iter().map(|(service, set)| Told {
            service: service.clone(),
            set: set.clone().ok(),
        });
        given.collect()
    }
}

/// Whether they are one service, reached the same way: what was told under one CA is nobody's word under another.
fn is_same(a: &Service, b: &Service) -> bool {
    a.at == b.at && a.tls == b.tls
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use portway_config::{Address, Scheme, Spanned};
    use portway_core::Span;
    use portway_tls::{Alpn, ConnectSpec, spec::Verify};

    use super::*;

    /// A service that is not there: nobody listens at the discard port.
    fn gone(ca: Option<&str>) -> Service {
        let span = Span::file("gateway.yaml");
        Service {
            at: Address {
                scheme: Some(Scheme::Grpcs),
                host: "127.0.0.1".into(),
                port: 9,
            },
            tls: Some(ConnectSpec {
                at: Spanned::new((), &span),
                ca: ca.map(|ca| Spanned::new(PathBuf::from(ca), &span)),
                server_name: None,
                client: None,
                verify: Verify::No,
                alpn: vec![Alpn::H2],
            }),
            refresh: Duration::from_secs(60),
        }
    }

    #[test]
    fn what_was_told_under_one_ca_is_not_taken_under_another() {
        let set = [1, 2, 3];
        let before = [Told {
            service: gone(None),
            set: Some(Arc::from(set)),
        }];
        let (same, other) = (gone(None), gone(Some("/nowhere/ca.pem")));
        let answers = Answers::ask(vec![same.clone(), other.clone()], &before);
        assert_eq!(answers.find(&same).unwrap(), set);
        assert!(answers.find(&other).unwrap_err().contains("ca.pem"));
    }
}
