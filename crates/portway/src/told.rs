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
            let told = before.iter().find(|told| told.service.at == service.at);
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

/// Whether they are one service, reached the same way.
fn is_same(a: &Service, b: &Service) -> bool {
    a.at == b.at && a.tls == b.tls
}
