//! The account with the server: the one that is kept, or a new one.
//!
//! Must hold: an account is in use only if it is kept, or a restart would make another; one that cannot
//! be read is set aside, never overwritten.

use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, general_purpose};
use instant_acme::{Account, AccountCredentials, Error, ExternalAccountKey, NewAccount};

use crate::failure::{Failure, Kind};
use crate::http::Http;
use crate::spec::AcmeSpec;
use crate::store::Store;

/// Issuers hand out keys with padding and without.
const KEYS: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Opens the account.
pub(crate) async fn open(store: &Store, spec: &AcmeSpec, http: &Http) -> Result<Account, Failure> {
    let Some(text) = blocking(store, Store::account).await? else {
        return create(store, spec, http).await;
    };
    let broken = match serde_json::from_str::<AccountCredentials>(&text) {
        Err(_) => "it is not what this gateway writes",
        Ok(kept) => {
            let builder = Account::builder_with_http(Box::new(http.clone()));
            match builder.from_credentials(kept).await {
                Ok(account) => return Ok(account),
                Err(Error::KeyRejected) => "its key is no ECDSA P-256 key",
                Err(error) => return Err(Failure::of("reading the directory", &error)),
            }
        }
    };
    set_aside(store, broken).await?;
    create(store, spec, http).await
}

/// Puts the account aside; the next one is new.
pub(crate) async fn set_aside(store: &Store, why: &str) -> Result<(), Failure> {
    let aside = blocking(store, Store::set_account_aside).await?;
    tracing::warn!(
        aside = %aside.display(),
        "the ACME account cannot be used ({why}): a new one is made"
    );
    Ok(())
}

async fn create(store: &Store, spec: &AcmeSpec, http: &Http) -> Result<Account, Failure> {
    let contact: Vec<&str> = spec.contacts.iter().map(String::as_str).collect();
    let wanted = NewAccount {
        contact: &contact,
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let external = match &spec.external_account {
        None => None,
        Some(external) => {
            let key = KEYS.decode(external.key.expose().trim());
            let wrong =
                |_| Failure::new(Kind::Refused, "the external account's key is no base64url");
            let key = key.map_err(wrong)?;
            Some(ExternalAccountKey::new(external.id.clone(), &key))
        }
    };
    let builder = Account::builder_with_http(Box::new(http.clone()));
    let (account, credentials) = builder
        .create(&wanted, spec.directory.to_string(), external.as_ref())
        .await
        .map_err(|error| Failure::of("making an account", &error))?;
    let text = serde_json::to_string(&credentials).map_err(|error| {
        Failure::new(Kind::Disk, format!("the account cannot be kept: {error}"))
    })?;
    blocking(store, move |store| store.keep_account(&text)).await?;
    tracing::info!(directory = %*spec.directory, "ACME account made");
    Ok(account)
}

/// Does something with files on a thread that may wait.
pub(crate) async fn blocking<T: Send + 'static>(
    store: &Store,
    work: impl FnOnce(&Store) -> std::io::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    let (own, folder) = (store.clone(), store.folder().display().to_string());
    let disk = |why: &dyn std::fmt::Display| {
        Failure::new(
            Kind::Disk,
            format!("nothing can be kept in {folder}: {why}"),
        )
    };
    match tokio::task::spawn_blocking(move || work(&own)).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(disk(&error)),
        Err(error) => Err(disk(&error)),
    }
}

/// Encodes as the protocol does.
pub(crate) fn base64url(bytes: &[u8]) -> String {
    general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}
