//! One order, from its beginning to the certificate (RFC 8555, section 7.4).
//!
//! Must hold: an order and its key are kept before anything is checked, so that a process that was killed
//! goes on with it instead of ordering again; answers to checks go when the order is over.

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeStatus, ChallengeType, Error,
    Identifier, NewOrder, Order, OrderStatus, RetryPolicy,
};
use portway_tls::slot::Request;
use portway_tls::{Slot, Slots};
use serde_json::{Value, json};

use crate::account::{base64url, blocking};
use crate::checks::{Answers, Tokens};
use crate::failure::{Failure, Kind, words};
use crate::spec::Challenge;
use crate::store::{Item, Store};

/// Checks, and after them the certificate, are waited for so long at most.
const POLL: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_secs(120));

/// What an order needs.
pub(crate) struct Job<'j> {
    pub(crate) account: &'j Account,
    pub(crate) store: &'j Store,
    pub(crate) slot: &'j Slot,
    pub(crate) slots: &'j Slots,
    pub(crate) tokens: &'j Tokens,
    /// How the server is to check the names.
    pub(crate) challenge: Challenge,
}

impl Job<'_> {
    /// Key and chain, PEM.
    pub(crate) async fn run(&self) -> Result<String, Failure> {
        let (mut order, request) = match self.resume().await? {
            Some(under_way) => under_way,
            None => self.begin().await?,
        };
        let mut answers = Answers::new(self.tokens, self.slots);
        let chain = self.drive(&mut order, &request, &mut answers).await;
        if chain
            .as_ref()
            .is_err_and(|failure| failure.kind == Kind::Refused)
        {
            self.forget().await?;
        }
        Ok(request.key + &chain?)
    }

    /// The order that an earlier process, or an earlier try, did not finish.
    async fn resume(&self) -> Result<Option<(Order, Request)>, Failure> {
        let names = self.slot.names().clone();
        let kept = blocking(self.store, move |store| store.find(Item::Order, &names)).await?;
        let Some(kept) = kept else { return Ok(None) };
        let kept: Value = serde_json::from_str(&kept).unwrap_or_default();
        let (Some(url), Some(key)) = (kept["order"].as_str(), kept["key"].as_str()) else {
            self.forget().await?;
            return Ok(None);
        };
        let mut order = match self.account.order(url.to_owned()).await {
            Ok(order) => Some(order),
            Err(Error::Api(_)) => None, // the server knows it no longer
            Err(error) => return Err(Failure::of("finding the order again", &error)),
        };
        let lives = |order: &mut Order| order.state().status != OrderStatus::Invalid;
        let order = order.take_if(lives);
        match order.zip(self.slot.request_again(key).ok()) {
            Some(under_way) => {
                tracing::info!(certificate = self.slot.label(), "going on with an order");
                Ok(Some(under_way))
            }
            None => {
                self.forget().await?;
                Ok(None)
            }
        }
    }

    async fn begin(&self) -> Result<(Order, Request), Failure> {
        let names = self.slot.names();
        let identifiers: Vec<Identifier> = names
            .iter()
            .map(|n| Identifier::Dns(n.to_string()))
            .collect();
        let order = match self.begin_replacing(&identifiers).await? {
            Some(order) => order,
            None => {
                let ordered = self.account.new_order(&NewOrder::new(&identifiers)).await;
                ordered.map_err(|error| Failure::of("ordering", &error))?
            }
        };
        let request = self.slot.request();
        let request = request.map_err(|why| Failure::new(Kind::Server, why))?;
        let kept = json!({ "order": order.url(), "key": request.key }).to_string();
        let names = names.clone();
        blocking(self.store, move |store| {
            store.keep(Item::Order, &names, &kept)
        })
        .await?;
        Ok((order, request))
    }

    /// An order that says which certificate it replaces (RFC 9773, section 5): no rate limit counts it.
    /// `None` if there is none, or the server wants to hear nothing of it.
    async fn begin_replacing(&self, identifiers: &[Identifier]) -> Result<Option<Order>, Failure> {
        let Some(id) = self.slot.issued().and_then(|issued| renewal_id(&issued)) else {
            return Ok(None);
        };
        let ordered = self
            .account
            .new_order(&NewOrder::new(identifiers).replaces(id))
            .await;
        match ordered {
            Ok(order) => Ok(Some(order)),
            Err(error) => match Failure::of("ordering", &error) {
                failure if failure.kind == Kind::RateLimited => Err(failure),
                _ => Ok(None),
            },
        }
    }

    async fn drive(
        &self,
        order: &mut Order,
        request: &Request,
        answers: &mut Answers<'_>,
    ) -> Result<String, Failure> {
        if order.state().status == OrderStatus::Pending {
            self.answer_checks(order, answers).await?;
            let ready = order.poll_ready(&POLL).await;
            match ready {
                Ok(OrderStatus::Ready) => {}
                Ok(_) | Err(Error::Api(_)) => return Err(self.why(order, ready.err()).await),
                Err(error) => return Err(Failure::of("waiting for the checks", &error)),
            }
        }
        if order.state().status == OrderStatus::Ready {
            let asked = order.finalize_csr(&request.csr).await;
            asked.map_err(|error| Failure::of("asking for the certificate", &error))?;
        }
        let chain = order.poll_certificate(&POLL).await;
        chain.map_err(|error| Failure::of("fetching the certificate", &error))
    }

    async fn answer_checks(
        &self,
        order: &mut Order,
        answers: &mut Answers<'_>,
    ) -> Result<(), Failure> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization =
                authorization.map_err(|error| Failure::of("reading the order", &error))?;
            if authorization.status != AuthorizationStatus::Pending {
                continue; // done already, or the order shows why not
            }
            let name = authorization.identifier().to_string();
            let kind = match self.challenge {
                Challenge::Http01 => ChallengeType::Http01,
                Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
            };
            let Some(mut challenge) = authorization.challenge(kind) else {
                let offers = self.challenge.as_str();
                let what = format!("the server does not offer {offers} for `{name}`");
                return Err(Failure::new(Kind::Refused, what));
            };
            let proof = challenge.key_authorization();
            match self.challenge {
                Challenge::Http01 => answers.token(&challenge.token, proof.as_str()),
                Challenge::TlsAlpn01 => answers
                    .handshake(&name, proof.digest().as_ref())
                    .map_err(|why| Failure::new(Kind::Server, why))?,
            }
            if challenge.status == ChallengeStatus::Pending {
                let told = challenge.set_ready().await;
                told.map_err(|error| Failure::of(&format!("the check of `{name}`"), &error))?;
            }
        }
        Ok(())
    }

    /// Which checks failed, and why.
    async fn why(&self, order: &mut Order, error: Option<Error>) -> Failure {
        let mut said = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(Ok(mut authorization)) = authorizations.next().await {
            // What it says now; if it says nothing, the order's own words must do.
            let _ = authorization.refresh().await;
            let name = authorization.identifier().to_string();
            let errors = authorization
                .challenges
                .iter()
                .filter_map(|c| c.error.as_ref());
            said.extend(errors.map(|problem| format!("`{name}`: {}", words(problem))));
        }
        let how = self.challenge.as_str();
        match (said.is_empty(), error) {
            (false, _) => Failure::new(
                Kind::Refused,
                format!("the check by {how} failed: {}", said.join("; ")),
            ),
            (true, Some(error)) => Failure::of(&format!("the check by {how} failed"), &error),
            (true, None) => Failure::new(Kind::Refused, format!("the check by {how} failed")),
        }
    }

    async fn forget(&self) -> Result<(), Failure> {
        let names = self.slot.names().clone();
        blocking(self.store, move |store| {
            store.forget(Item::Order, &names);
            Ok(())
        })
        .await
    }
}

/// What the server knows a certificate by.
pub(crate) fn renewal_id(
    issued: &portway_tls::slot::Issued,
) -> Option<CertificateIdentifier<'static>> {
    let (issuer, serial) = issued.renewal_id.as_ref()?;
    Some(CertificateIdentifier {
        authority_key_identifier: base64url(issuer).into(),
        serial: base64url(serial).into(),
    })
}
